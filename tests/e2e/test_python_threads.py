# SPDX-License-Identifier: Apache-2.0
"""Which threads are sampled, and how often."""

import re
import unittest

import agent_runs
from agent_runs import PROGRAMS, Run


class Threads(unittest.TestCase):
    def check(self, version):
        python = agent_runs.interpreter(version)
        run = Run([python, str(PROGRAMS / "threads.py"), "6"], ["--sample-rate", "1000"])
        self.assertEqual(run.status, 0, run.stderr)
        truth, profile = run.truth(), run.profile
        total = profile.total("cpu")
        sampled = profile.inclusive("cpu")
        for name, spent in truth["functions"].items():
            share, true = sampled[name] / total, spent / truth["process"]
            print(f"{name}: sampled {share:.2%}, true {true:.2%}")
            self.assertAlmostEqual(share, true, delta=0.03, msg=name)
        self.assertLess(sampled.get("sleeper", 0) / total, 0.002)
        # On their way to sleep they may wait for a CPU for a while, on a busy machine.
        self.assertLess(profile.inclusive("samples").get("sleeper", 0), profile.total("samples") / 100)
        tids = {sample["labels"]["tid"] for sample in profile.samples if any(f[0] == "east" for f in sample["stack"])}
        self.assertEqual(len(tids), 1)

    def test_311(self):
        self.check("3.11")

    def test_312(self):
        self.check("3.12")

    def test_313(self):
        self.check("3.13")


class EveryTick(unittest.TestCase):
    """A thread that never sleeps gives as many freshly read stacks as there are ticks."""

    def check(self, rate):
        run = Run([agent_runs.any_interpreter(), str(PROGRAMS / "spin.py"), "4"], ["--sample-rate", str(rate)])
        self.assertEqual(run.status, 0, run.stderr)
        samples = run.profile.total("samples")
        ticks = run.profile.duration_nanos * rate // 10**9
        late = run.late_ticks()
        print(f"{rate} Hz: {ticks} ticks, {samples} samples, {late} left out by a busy machine")
        self.assertAlmostEqual((samples + late) / ticks, 1, delta=0.02)
        # Freshly read: the loop has several lines, and every one of them shows.
        lines = {frame[2] for sample in run.profile.samples for frame in sample["stack"][:1] if frame[0] == "spin"}
        self.assertGreaterEqual(len(lines), 3)

    def test_1000_hz(self):
        self.check(1000)

    def test_10000_hz(self):
        self.check(10000)


class Stacks(unittest.TestCase):
    def test_lines_and_names(self):
        for version, python in agent_runs.find_interpreters().items():
            with self.subTest(version):
                run = Run([python, str(PROGRAMS / "threads.py"), "1"], ["--sample-rate", "500"])
                source = (PROGRAMS / "threads.py").read_text().splitlines()
                stacks = [s["stack"] for s in run.profile.samples if any(f[0] == "east" for f in s["stack"])]
                self.assertTrue(stacks)
                for stack in stacks:
                    names = [frame[0] for frame in stack]
                    self.assertEqual(names[-1], "Thread._bootstrap")
                    self.assertEqual(names[names.index("east") + 1], "Thread.run")
                    line = stack[names.index("east")][2]
                    self.assertRegex(source[line - 1], re.compile("def east|while|sum|spent"))
                self.assertEqual(run.profile.functions["east"][1], 1 + source.index("def east(until):"))

    def test_time_goes_to_the_line_that_spends_it(self):
        program = ("import time\n"
                   "def hot(until):\n"
                   "  while time.monotonic() < until:\n"
                   "    before = 1\n"
                   "    sum(range(3000))\n"
                   "    after = 2\n"
                   "hot(time.monotonic() + 1)")
        for version, python in agent_runs.find_interpreters().items():
            with self.subTest(version):
                run = Run([python, "-c", program], ["--sample-rate", "500"])
                lines = {}
                for sample in run.profile.samples:
                    if sample["stack"][0][0] == "hot":
                        line = sample["stack"][0][2]
                        lines[line] = lines.get(line, 0) + sample["values"]["samples"]
                print(version, lines)
                self.assertGreater(lines.get(5, 0) / sum(lines.values()), 0.9)
                self.assertEqual({s["stack"][1][2] for s in run.profile.samples if s["stack"][0][0] == "hot"}, {7})


if __name__ == "__main__":
    unittest.main()
