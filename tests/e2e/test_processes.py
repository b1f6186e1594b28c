# SPDX-License-Identifier: Apache-2.0
"""Which processes are sampled, what samples say of who ran, and that no CPU time is missing."""

import resource
import unittest

import agent_runs
from agent_runs import PROGRAMS, Run


def cpu_of(profile, pid):
    return sum(s["values"]["cpu"] for s in profile.samples if s["labels"]["pid"] == pid)


class Family(unittest.TestCase):
    def run_family(self, *flags):
        run = Run([agent_runs.any_interpreter(), str(PROGRAMS / "family.py"), "1"], flags)
        self.assertEqual(run.status, 0, run.stderr)
        return run.profile, run.truth()

    def test_children_are_sampled_as_themselves(self):
        profile, truth = self.run_family()
        for who in ("parent", "child"):
            self.assertAlmostEqual(cpu_of(profile, truth[who]) / truth[who + "_ns"], 1, delta=0.05, msg=who)
        for function, who in (("in_thread", "parent"), ("in_child", "child")):
            pids = {s["labels"]["pid"] for s in profile.samples if any(f[0] == function for f in s["stack"])}
            self.assertEqual(pids, {truth[who]}, function)

    def test_children_may_be_left_out(self):
        profile, truth = self.run_family("--detect-subprocesses=false")
        self.assertEqual(cpu_of(profile, truth["child"]), 0)
        self.assertNotIn("in_child", profile.inclusive("samples"))
        self.assertGreater(profile.inclusive("cpu")["in_thread"], 0.9e9)

    def test_threads_have_their_names(self):
        profile, truth = self.run_family()
        names = {(s["labels"]["process"], s["labels"]["thread"])
                 for s in profile.samples if any(f[0] == "in_thread" for f in s["stack"])}
        # Python's name goes before the one that the thread gave the kernel.
        self.assertLessEqual({thread for _, thread in names} - {"worker-7"} - {process for process, _ in names},
                             {"Thread-1 (in_thread)"})
        self.assertIn("Thread-1 (in_thread)", {thread for _, thread in names})
        self.assertTrue(all(process.startswith("python") for process, _ in names), names)


# A function that takes a second of CPU time.
BURN = "import time\ndef {0}():\n  until = time.process_time() + 1\n  while time.process_time() < until: pass\n"


class Changes(unittest.TestCase):
    """What was known of a process or thread does not hold for ever."""

    def test_a_program_that_executes_another(self):
        pythons = list(agent_runs.find_interpreters().values()) or [agent_runs.any_interpreter()]
        second = BURN.format("second") + "second()"
        first = BURN.format("first") + f"import os\nfirst()\nos.execv({pythons[-1]!r}, ['python', '-c', {second!r}])"
        run = Run([pythons[0], "-c", first])
        self.assertEqual(run.status, 0, run.stderr)
        sampled = run.profile.inclusive("cpu")
        for name in ("first", "second"):
            self.assertAlmostEqual(sampled.get(name, 0) / 1e9, 1, delta=0.15, msg=name)

    def test_a_thread_that_wakes_after_a_long_sleep(self):
        program = BURN.format("woken") + "import threading\n" \
            "def late():\n  time.sleep(2.5)\n  woken()\n" \
            "thread = threading.Thread(target=late)\nthread.start()\nthread.join()"
        run = Run([agent_runs.any_interpreter(), "-c", program])
        self.assertEqual(run.status, 0, run.stderr)
        self.assertAlmostEqual(run.profile.inclusive("cpu").get("woken", 0) / 1e9, 1, delta=0.15)


class NothingIsMissing(unittest.TestCase):
    def test_cpu_time_of_processes_too_brief_to_be_seen(self):
        """200 processes of about a millisecond each, at 20 Hz: hardly a sample meets one."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = Run(["sh", "-c", "for i in $(seq 200); do /bin/true; done"], ["--sample-rate", "20"])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertEqual(run.status, 0, run.stderr)
        # The agent's own time is in the rusage as well: a bound from above only.
        all_of_it = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e9
        total = run.profile.total("cpu")
        print(f"profile {total / 1e6:.1f} ms, with the agent {all_of_it / 1e6:.1f} ms")
        self.assertLess(total, all_of_it)
        self.assertGreater(total, 0.5 * all_of_it)
        self.assertGreater(run.profile.inclusive("cpu")["[not sampled]"], 0.3 * total)


if __name__ == "__main__":
    unittest.main()
