# SPDX-License-Identifier: Apache-2.0
"""Stopping threads does no harm: every sample is taken with the thread stopped here (--pyspy-blocking)."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import agent_runs
import launching
from agent_runs import BUILD, PROGRAMS, Run

BLOCKING = ["--pyspy-blocking", "--sample-rate", "1000", "--log-level", "info"]


def longest_pause_ms(stderr):
    found = re.search(r"(\d+) threads were stopped.* longest (\d+) us", stderr)
    assert found, stderr
    return int(found[1]), int(found[2]) / 1000


class SamplerWaits(threading.Thread):
    """Looks for how long at a time the samplers of our children waited for a CPU: so long a thread may be held beyond what
    is promised, for who does not run cannot let go."""

    def __enter__(self):
        self.longest_ms, self.over = 0.0, threading.Event()
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        before = {}
        while not self.over.wait(0.02):
            for pid in [p for keeper in launching.children_of(os.getpid()) for p in launching.children_of(keeper)]:
                now = launching.cpu_wait(pid)
                self.longest_ms = max(self.longest_ms, 1000 * (now - before.get(pid, now)))
                before[pid] = now


class Stops(unittest.TestCase):
    def run_storm(self, kind, count, flags=()):
        with SamplerWaits() as waits:
            run = Run([agent_runs.any_interpreter(), *flags, str(PROGRAMS / "storm.py"), kind, str(count)], BLOCKING)
        return run, waits.longest_ms

    def check_pauses(self, run, at_least, waited_ms=0):
        self.assertEqual(run.status, 0, run.stderr)
        stops, longest = longest_pause_ms(run.stderr)
        print(f"{stops} stops, longest {longest} ms; the sampler waited up to {waited_ms:.1f} ms for a CPU")
        self.assertGreater(stops, at_least)
        self.assertLess(longest, 200 + waited_ms)

    def test_shares_are_true(self):
        run = Run([agent_runs.any_interpreter(), str(PROGRAMS / "shares.py"), "4"], BLOCKING)
        self.check_pauses(run, 1000)
        total, sampled = run.profile.total("cpu"), run.profile.inclusive("cpu")
        truth = run.truth()
        for name, spent in truth["functions"].items():
            self.assertAlmostEqual(sampled[name] / total, spent / truth["process"], delta=0.03, msg=name)

    def test_storm_of_multithreaded_execs(self):
        run, waited_ms = self.run_storm("exec", 60, ["-S", "-E"])
        self.check_pauses(run, 50, waited_ms)

    def test_storm_of_vforks(self):
        run, waited_ms = self.run_storm("vfork", 600)
        self.check_pauses(run, 100, waited_ms)

    def test_storm_of_execs_by_any_thread(self):
        """The kernel holds an exec, and all who attach to its thread, until the threads that it ends are reaped by us."""
        for _ in range(3):
            run = Run([str(BUILD / "bin" / "exec_storm"), "40", "3"], ["--sample-rate", "2000"])
            self.assertEqual((run.status, run.stdout), (0, "done\n"), run.stderr)
            self.assertNotRegex(run.stderr, "hung|not profiled")

    def test_more_threads_than_processors(self):
        """Who waits for a CPU keeps no other thread from being sampled, and who ends is no matter of permission."""
        threads = 4 * os.cpu_count()
        run = Run([str(BUILD / "bin" / "busy_threads"), str(threads), str(threads), "3"], ["--sample-rate", "500"])
        self.assertEqual(run.status, 0, run.stderr)
        self.assertNotRegex(run.stderr, "not stopped in time|not profiled")
        run = Run([str(BUILD / "bin" / "busy_threads"), "500", "500", "1"], ["--sample-rate", "500"])
        self.assertEqual(run.status, 0, run.stderr)
        self.assertNotIn("not profiled", run.stderr)

    def stop_in_a_hold(self, run):
        """The sampler, by SIGSTOP while the program's thread stands still for it; None when it was not in time."""
        samplers = [p for p in launching.children_of(run.keeper) if p != run.launcher]
        if not samplers or launching.state_of(run.target) != "t":
            return None  # the next sampler is started after a pause
        try:
            os.kill(samplers[0], signal.SIGSTOP)
            launching.wait_until(lambda: launching.state_of(samplers[0]) in ("T", "", "Z", "X"), "the sampler to stop")
            if launching.state_of(run.target) == "t":
                return samplers[0]
            os.kill(samplers[0], signal.SIGCONT)
        except ProcessLookupError:
            pass
        return None

    def time_until_free(self, run, sampler):
        """How long the program's thread stays held, and how long the three that take part in its release (the watchdog, the
        dying sampler, and we, who look) waited for a CPU meanwhile. Seconds."""
        waits = launching.CpuWaits(run.keeper, sampler, os.getpid())
        begin = time.monotonic()
        while launching.state_of(run.target) == "t":
            waits.look()
            if time.monotonic() - begin > 5:
                os.kill(sampler, signal.SIGCONT)
                self.fail("held for 5 s")
            time.sleep(0.001)
        return time.monotonic() - begin, waits.look()

    def test_sampler_stopped_while_it_holds_a_thread(self):
        """The watchdog ends that sampler, and no thread stands still for long."""
        flags = ["--pyspy-blocking", "--sample-rate", "10000", "--summary"]
        hits = 3
        with tempfile.TemporaryDirectory() as folder:
            run = launching.Run([launching.AGENT, "exec", "-o", f"{folder}/p.pb.gz", *flags, agent_runs.any_interpreter(),
                                 str(PROGRAMS / "spin.py"), "100"])
            self.addCleanup(run.kill)
            for _ in range(hits):
                sampler = launching.wait_until(lambda: self.stop_in_a_hold(run), "a hold", 30, pause=0)
                held, waited = self.time_until_free(run, sampler)
                print(f"held for {held * 1000:.1f} ms, {waited * 1000:.1f} ms of waits for a CPU among them")
                self.assertLess(held, 0.2 + waited)
                launching.wait_until(lambda: launching.is_gone(sampler), "the sampler's end")
            os.kill(run.keeper, signal.SIGTERM)
            status, out, err = run.end()
        print(out)
        self.assertEqual(status, 0, err)
        self.assertEqual(err.count("the sampler hung while it held a thread and was killed"), hits, err)

    def test_set_uid_programs_keep_their_rights(self):
        """10,000 (2,000 in the short run) set-uid execs at 1 kHz, without CAP_SYS_PTRACE."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to make a set-uid program")
        python = "/usr/bin/python3"
        version = agent_runs._version_of(python)
        if version not in agent_runs.SUPPORTED:
            self.skipTest(f"an ordinary user needs a supported /usr/bin/python3, here: {version}")
        count = int(os.environ.get("AGENT_SETUID_EXECS", "2000"))
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            folder.chmod(0o777)
            for source, target in ((BUILD / "bin" / "effective_root", "helper"), (launching.AGENT, "agent"),
                                   (PROGRAMS / "setuid_storm.py", "storm.py")):
                shutil.copy(source, folder / target)
                (folder / target).chmod(0o755)
            (folder / "helper").chmod(0o4755)
            user = dict(user=65534, group=65534, extra_groups=[], cwd=name)
            plain = subprocess.run([folder / "helper"], **user, check=False)
            if plain.returncode != 0:
                self.skipTest("set-uid does not work in the temporary folder (nosuid)")
            run = subprocess.run(
                [folder / "agent", "exec", *BLOCKING, "-o", folder / "p.pb.gz", python, folder / "storm.py",
                 folder / "helper", str(count)], **user, capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        print(run.stdout, run.stderr)
        self.assertIn("lost 0\n", run.stdout)
        self.assertGreater(longest_pause_ms(run.stderr)[0], 100)  # the parent is stopped all the time


if __name__ == "__main__":
    unittest.main()
