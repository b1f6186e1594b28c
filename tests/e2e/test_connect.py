# SPDX-License-Identifier: Apache-2.0
"""`agent connect`: a process that runs already is sampled and left as it was found."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

import agent_runs
import launching
import pprof
from agent_runs import AGENT, PROGRAMS


class Connect(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "connect.pb.gz"

    def start_target(self, seconds):
        target = subprocess.Popen([agent_runs.any_interpreter(), str(PROGRAMS / "shares.py"), str(seconds)],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(target.communicate)
        self.addCleanup(target.kill)
        self.assertEqual(target.stdout.readline(), "ready\n")
        return target

    def check_profile(self):
        profile = pprof.read(self.path)
        shares = profile.inclusive("cpu")
        total = profile.total("cpu")
        self.assertAlmostEqual(shares["tokenize"] / total, 0.45, delta=0.15)
        self.assertGreater(shares["work"] / total, 0.95)
        return profile

    def check_untouched(self, target):
        status = pathlib.Path(f"/proc/{target.pid}/status").read_text()
        self.assertIn("TracerPid:\t0\n", status)
        self.assertRegex(status, r"State:\t[RS]")
        self.assertIsNone(target.poll())

    def test_duration(self):
        target = self.start_target(30)
        schedstat = pathlib.Path(f"/proc/{target.pid}/schedstat")
        before = int(schedstat.read_text().split()[0])
        run = subprocess.run([AGENT, "connect", "--pid", str(target.pid), "--duration", "2s", "-o", self.path],
                             capture_output=True, text=True, timeout=20)
        used = int(schedstat.read_text().split()[0]) - before
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout, "")
        self.check_untouched(target)
        profile = self.check_profile()
        # The agent's own start and end, up to 100 ms, lie outside of the profile.
        self.assertAlmostEqual(profile.total("cpu") / 1e9, used / 1e9, delta=0.02 * used / 1e9 + 0.1)

    def test_what_was_spent_before_is_not_in_the_profile(self):
        burns = "import time\ndef early():\n  while time.process_time() < 2: pass\nearly()\nprint('ready', flush=True)\n" \
                "def late():\n  while True: pass\nlate()"
        target = subprocess.Popen([agent_runs.any_interpreter(), "-c", burns], stdout=subprocess.PIPE, text=True)
        self.addCleanup(target.communicate)
        self.addCleanup(target.kill)
        self.assertEqual(target.stdout.readline(), "ready\n")
        run = subprocess.run([AGENT, "connect", "--pid", str(target.pid), "--duration", "1s", "-o", self.path],
                             capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 0, run.stderr)
        profile = pprof.read(self.path)
        self.assertNotIn("early", profile.inclusive("samples"))
        self.assertGreater(profile.inclusive("cpu")["late"], 0.2e9)
        self.assertLess(profile.total("cpu"), 1.3e9)

    def test_interrupt_ends_it_with_the_profile_written(self):
        target = self.start_target(30)
        agent = subprocess.Popen([AGENT, "connect", "--pid", str(target.pid), "-o", self.path, "--log-level", "info"],
                                 stderr=subprocess.PIPE, text=True)
        self.addCleanup(agent.kill)
        while "runs CPython" not in agent.stderr.readline():
            self.assertIsNone(agent.poll())
        used = os.times().elapsed
        launching.wait_until(lambda: os.times().elapsed - used > 1, "a second of sampling")
        agent.send_signal(signal.SIGINT)
        agent.communicate(timeout=5)
        self.assertEqual(agent.returncode, 0)
        self.check_untouched(target)
        self.check_profile()

    def test_ends_with_its_process(self):
        target = self.start_target(2)
        run = subprocess.run([AGENT, "connect", str(target.pid), "-o", self.path], capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.check_profile()
        self.assertIn("functions", json.loads(target.stdout.readline()))

    def test_no_such_process(self):
        run = subprocess.run([AGENT, "connect", "--pid", "4194303", "-o", self.path], capture_output=True, text=True, timeout=20)
        self.assertEqual(run.returncode, 1)
        self.assertIn("agent: cannot profile process 4194303", run.stderr)
        self.assertFalse(self.path.exists())

    def test_no_permission(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to become another user")
        target = self.start_target(10)
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            subprocess.run(["cp", AGENT, f"{folder}/agent"], check=True)
            run = subprocess.run([f"{folder}/agent", "connect", "--pid", str(target.pid), "-o", f"{folder}/p.pb.gz"],
                                 capture_output=True, text=True, timeout=20, user=65534, group=65534, extra_groups=[])
        self.assertEqual(run.returncode, 1)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        self.assertIn("SYS_PTRACE", run.stderr)


class Several(unittest.TestCase):
    """Processes chosen by what /proc tells of them, with those that come later."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "connect.pb.gz"

    def start(self, mark, **options):
        program = f"import sys\ndef {mark}():\n  n = 0\n  while True: n += 1\nprint(flush=True)\n{mark}()"
        target = subprocess.Popen([agent_runs.any_interpreter(), "-c", program, "target-" + mark], stdout=subprocess.PIPE,
                                  **options)
        self.addCleanup(target.communicate)
        self.addCleanup(target.kill)
        target.stdout.readline()
        return target

    def connect(self, *arguments):
        agent = subprocess.Popen([AGENT, "connect", *arguments, "-o", self.path, "--log-level", "info"],
                                 stderr=subprocess.PIPE, text=True)
        self.addCleanup(agent.communicate)
        self.addCleanup(agent.kill)
        return agent

    def await_line(self, agent, text):
        for line in agent.stderr:
            if text in line:
                return
        self.fail(f"the agent ended without {text!r}")

    def functions(self):
        return {name for name in pprof.read(self.path).inclusive("cpu")}

    def test_by_name_with_those_that_come_later_and_the_end_with_the_last(self):
        first, other = self.start("one"), self.start("another")
        agent = self.connect("--name", "target-(one|two)$")
        self.await_line(agent, f"process {first.pid} ")
        second = self.start("two")
        self.await_line(agent, f"process {second.pid} ")
        for target in (first, second):  # long enough for some samples
            start = self.cpu_time(target)
            while self.cpu_time(target) < start + 0.2:
                pass
            target.kill()
        agent.communicate(timeout=20)
        self.assertEqual(agent.returncode, 0)
        functions = self.functions()
        self.assertLessEqual({"one", "two"}, functions)
        self.assertNotIn("another", functions)
        self.assertIsNone(other.poll())

    def cpu_time(self, target):
        return int(pathlib.Path(f"/proc/{target.pid}/schedstat").read_text().split()[0]) / 1e9

    def test_by_container(self):
        target = self.start("inside", env=os.environ | {"HOSTNAME": "pod-4711"})
        self.start("outside", env=os.environ | {"HOSTNAME": "pod-47"})
        run = subprocess.run([AGENT, "connect", "--container", "pod-4711", "--duration", "1s", "-o", self.path],
                             capture_output=True, text=True, timeout=20)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertIn("inside", self.functions())
        self.assertNotIn("outside", self.functions())
        self.assertIsNone(target.poll())

    def test_all(self):
        self.start("first")
        agent = self.connect("--all", "--duration", "4s")
        self.await_line(agent, f"process {self.start('later').pid} ")
        children = map(int, pathlib.Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split())
        agent.communicate(timeout=30)
        self.assertEqual(agent.returncode, 0)
        self.assertLessEqual({"first", "later"}, self.functions())
        ours = {agent.pid, *children}
        self.assertEqual(ours & {sample["labels"]["pid"] for sample in pprof.read(self.path).samples}, set())

    def test_nothing_there_and_nonsense(self):
        for arguments, status, told in ((("--name", "no-such-process-[4711]"), 1, "no such process runs"),
                                        (("--name", "("), 125, "--name"), (("--name", ""), 125, "empty"),
                                        (("--all", "12"), 125, "either a pid or")):
            with self.subTest(arguments):
                run = subprocess.run([AGENT, "connect", *arguments, "-o", self.path], capture_output=True, text=True,
                                     timeout=20)
                self.assertEqual(run.returncode, status)
                self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
                self.assertIn(told, run.stderr)


if __name__ == "__main__":
    unittest.main()
