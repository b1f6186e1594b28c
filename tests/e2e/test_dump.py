# SPDX-License-Identifier: Apache-2.0
"""`agent dump`: the stack of each thread, of programs that run, wait, hang or stand still."""

import json
import pathlib
import signal
import subprocess
import unittest

import agent_runs
from agent_runs import AGENT

PROGRAM = """
import threading
def spin():
    while True: pass
def hang():
    lock.acquire()
lock = threading.Lock()
lock.acquire()
threading.Thread(target=hang).start()
threading.Thread(target=spin).start()
print(flush=True)
lock.acquire()
"""

SPINNERS = """
import threading
def spin():
    while True: pass
for _ in range(3): threading.Thread(target=spin).start()
print(flush=True)
spin()
"""


def names_of_children(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [pathlib.Path(f"/proc/{child}/comm").read_text().strip() for child in children.read_text().split()]
    except OSError:
        return []


class Dump(unittest.TestCase):
    def start(self, *command, **options):
        target = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        self.addCleanup(target.communicate)
        self.addCleanup(target.kill)
        return target

    def start_python(self, interpreter):
        target = self.start(interpreter, "-c", PROGRAM)
        self.assertEqual(target.stdout.readline(), "\n")
        while "<module> (<string>:12)" not in self.dump(target):  # from the line to the lock
            pass
        return target

    def dump(self, target, *flags):
        run = subprocess.run([AGENT, "dump", *flags, str(target.pid)], capture_output=True, text=True, timeout=30)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        status = pathlib.Path(f"/proc/{target.pid}/status").read_text()
        self.assertIn("TracerPid:\t0\n", status)
        self.assertIsNone(target.poll())
        return run.stdout

    def test_python_threads_of_each_kind(self):
        for version, interpreter in agent_runs.find_interpreters().items():
            with self.subTest(version):
                target = self.start_python(interpreter)
                text = self.dump(target)
                self.assertIn(f"process {target.pid}: ", text)
                self.assertIn(f"CPython {version}", text)
                blocks = text.split("\nthread ")[1:]
                self.assertEqual(len(blocks), 3, text)
                spin, = (b for b in blocks if "running" in b.splitlines()[0])
                self.assertRegex(spin, r'^\d+ "Thread-2 \(spin\)", running\n    spin \(<string>:4\)\n    (Thread\.)?run \(')
                hang, = (b for b in blocks if " hang (<string>:6)" in b)
                self.assertRegex(hang, r'^\d+ "Thread-1 \(hang\)", sleeping, waits for a lock or a condition\n    futex \[syscall\]\n    hang')
                main, = (b for b in blocks if "<module> (<string>:12)" in b)
                self.assertRegex(main, rf'^{target.pid} "MainThread", sleeping')

    def test_native_frames_and_json(self):
        target = self.start_python(agent_runs.any_interpreter())
        dump = json.loads(self.dump(target, "--json", "--native"))
        self.assertEqual(dump["pid"], target.pid)
        self.assertEqual(dump["command"][1:], ["-c", PROGRAM])
        self.assertRegex(dump["runtimes"][0]["name"], r"^CPython 3\.")
        self.assertEqual(dump["runtimes"][0]["processes"], 1)
        main, = (t for t in dump["threads"] if t["tid"] == target.pid)
        names = [frame["name"] for frame in main["frames"]]
        self.assertEqual(names[0], "futex [syscall]")
        self.assertLess(names.index("futex [syscall]"), names.index("<module>"))
        self.assertIn("S", main["state"])
        self.assertGreater(len(names), 4)
        self.assertEqual(main["wait"], {"for": "lock", "call": "futex", "file": None})
        pauses = dump["pauses"]  # the one thread that runs is stopped for its native frames
        self.assertGreater(pauses["count"], 0)
        self.assertGreaterEqual(pauses["total"], pauses["max"])
        # On a machine that is busy with other tests one stop may last: all but the longest.
        self.assertLess(pauses["total"] - pauses["max"], 0.05)

    def test_a_program_that_stands_still(self):
        target = self.start_python(agent_runs.any_interpreter())
        target.send_signal(signal.SIGSTOP)
        with open(f"/proc/{target.pid}/stat") as stat:
            while stat.read().rsplit(") ", 1)[1][0] != "T":
                stat.seek(0)
        text = self.dump(target)
        self.assertIn("stopped\n", text)
        self.assertIn(" hang (<string>:6)", text)
        self.assertIn("<module> (<string>:12)", text)
        with open(f"/proc/{target.pid}/stat") as stat:
            self.assertEqual(stat.read().rsplit(") ", 1)[1][0], "T")
        target.send_signal(signal.SIGCONT)

    def test_native(self):
        target = self.start("sleep", "1000")
        while "clock_nanosleep" not in (text := self.dump(target)):  # it may not have begun yet
            pass
        self.assertRegex(text, r'thread \d+ "sleep", sleeping, waits in clock_nanosleep\n    clock_nanosleep \[syscall\]\n(    .*\n)+.*_start|main')

    def test_who_waits_for_the_gil(self):
        for version, interpreter in agent_runs.find_interpreters().items():
            with self.subTest(version):
                target = self.start(interpreter, "-c", SPINNERS)
                self.assertEqual(target.stdout.readline(), "\n")
                while True:  # one that waits wakes up every 5 ms, and may be caught at that
                    waits = [t["wait"] for t in json.loads(self.dump(target, "--json"))["threads"] if t["wait"]]
                    if any(wait["for"] == "gil" for wait in waits):
                        break
                self.assertNotIn("lock", [wait["for"] for wait in waits])
                while "sleeping, waits for the GIL\n" not in self.dump(target):
                    pass

    def test_who_waits_for_a_file(self):
        target = self.start("cat", stdin=subprocess.PIPE)
        while "waits in read of pipe:[" not in self.dump(target):  # it may not have begun yet
            pass

    def test_a_program_that_ends_meanwhile(self):
        target = self.start("sh", "-c", "echo; read x", stdin=subprocess.PIPE)
        self.assertEqual(target.stdout.readline(), "\n")
        agent = subprocess.Popen([AGENT, "dump", str(target.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "agent-sampler" not in (names := names_of_children(agent.pid)) and agent.poll() is None:
            pass
        target.communicate()  # its input ends
        output, errors = agent.communicate(timeout=30)
        self.assertEqual((agent.returncode, output), (1, ""), names)
        self.assertRegex(errors, r"^agent: .*(ended while it was looked at|no such process|the process has ended)")
        self.assertEqual(len(errors.splitlines()), 1)

    def test_what_cannot_be_looked_at(self):
        for arguments, status, told in ((("999999999",), 1, "no such process"), ((), 125, "no process given"),
                                        (("x",), 125, "not the number")):
            with self.subTest(arguments):
                run = subprocess.run([AGENT, "dump", *arguments], capture_output=True, text=True, timeout=30)
                self.assertEqual((run.returncode, run.stdout), (status, ""))
                self.assertEqual(len(run.stderr.splitlines()), 1)
                self.assertIn(told, run.stderr)


if __name__ == "__main__":
    unittest.main()
