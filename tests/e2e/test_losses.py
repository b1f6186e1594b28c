# SPDX-License-Identifier: Apache-2.0
"""A healthy program loses no sample: not while its interpreter starts, not while it ends, and not when its code is freed
while it is read. (What a busy machine costs, ticks left out and threads that did not stop in time, is told and is true.)"""

import re
import unittest

import agent_runs
from agent_runs import PROGRAMS, Run

RATES = (100, 1000, 10000)


class Losses(unittest.TestCase):
    def check_none(self, command, rate, runs=1):
        for _ in range(runs):
            run = Run(command, ["--sample-rate", str(rate)])
            self.assertEqual(run.status, 0, run.stderr)
            self.assertNotRegex(run.stderr, r" lost, .*unreadable")
            torn = re.search(r" lost, .*?(\d+) torn", run.stderr)
            # A thread that waits for a CPU in the middle of a call has no whole stack, however often one looks.
            is_busy = run.is_too_busy(rate) or "left out: the machine is too busy" in run.stderr
            self.assertLessEqual(int(torn[1]) if torn else 0, 1 if is_busy else 0, run.stderr)
        return run

    def check_start_and_end(self, version):
        python = agent_runs.interpreter(version)
        for rate in RATES:
            with self.subTest(rate):
                self.check_none([python, "-c", "import argparse, asyncio, subprocess"], rate, runs=4)

    def test_start_and_end_of_311(self):
        self.check_start_and_end("3.11")

    def test_start_and_end_of_312(self):
        self.check_start_and_end("3.12")

    def test_start_and_end_of_313(self):
        self.check_start_and_end("3.13")

    def test_code_that_is_freed_at_once(self):
        for version, python in agent_runs.find_interpreters().items():
            for flags in ([], ["--pyspy-blocking"]):
                with self.subTest((version, flags)):
                    run = Run([python, str(PROGRAMS / "churn.py"), "3"], ["--sample-rate", "1000", *flags])
                    self.assertEqual(run.status, 0, run.stderr)
                    lost = re.search(r"(\d+) samples? w\w+ lost, (\d+) were kept: .*(torn|unreadable)", run.stderr)
                    if lost:  # one in a thousand meets code that is freed under each of many looks
                        self.assertLess(int(lost[1]), 0.003 * int(lost[2]), run.stderr)
                    if not flags:
                        continue  # code that lives for 10 us is often over before it has been read: an open question
                    made = [s for s in run.profile.samples if any(f[1].startswith("made") for f in s["stack"])]
                    self.assertGreater(len(made), 10)


if __name__ == "__main__":
    unittest.main()
