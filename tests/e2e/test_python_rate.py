# SPDX-License-Identifier: Apache-2.0
"""A rate that nobody can hold (1,000,000 Hz): as many samples as one core gives, as true as at 100 Hz."""

import os
import re
import subprocess
import unittest

import agent_runs
from agent_runs import Run

SECONDS = os.environ.get("AGENT_RATE_SECONDS", "4")
FLUTTER_SECONDS = "12"
FLAGS = ["--sample-rate", "1000000", "--summary"]


def is_possible(names):
    """Whether these functions of flutter.py call each other."""
    if names and names[0].startswith("chain"):
        chain = names[0].split("_")[0]
        return names == [f"{chain}_{depth}" for depth in reversed(range(len(names)))]
    if names and names[0] in ("even", "odd"):
        return names == ["even" if i % 2 == 0 else "odd" for i in reversed(range(len(names)))]
    if names and names[0] in ("numbers", "drain"):
        return names in (["numbers", "drain"], ["drain"])
    return not {"drain", "even", "odd"} & set(names) and not any(name.startswith("chain") for name in names)


class Rate(unittest.TestCase):
    def run_at_top_rate(self, version, program, seconds=SECONDS):
        run = Run(agent_runs.need_interpreters(version)[0].command(program, seconds), FLAGS)
        self.assertEqual(run.status, 0, run.stderr)
        samples = run.profile.total("samples")
        agent_cpu = float(re.search(r"the agent took ([0-9.]+) s of CPU", run.stderr)[1])
        print(f"{version} {program}: {samples} samples in {run.profile.duration_nanos / 1e9:.2f} s, "
              f"{samples / agent_cpu:.0f} for each second of the agent's CPU")
        return run, samples, samples / agent_cpu

    def check_shares(self, version):
        run, samples, rate = self.run_at_top_rate(version, "shares.py")
        truth, total = run.truth(), run.profile.total("cpu")
        kernel = float(re.search(r"the kernel counted ([0-9.]+) s", run.stderr)[1]) * 1e9
        print(f"  profile {total / 1e9:.3f} s, kernel {kernel / 1e9:.3f} s, program {truth['process'] / 1e9:.3f} s")
        self.assertAlmostEqual(total / kernel, 1, delta=0.02)
        # Of ticks alone some 40,000; a busy machine takes its part of the time, not of the CPU.
        self.assertGreater(rate, 80_000)
        self.assertRegex(run.stderr, r"\d+ looks a second were reached of 1000000")
        if truth["process"] < 0.5 * run.profile.duration_nanos:
            # Then what is sampled is a hundred or two of its turns, however many looks fall into each.
            print("  shares are not compared: the program had less than half of a CPU")
            return
        sampled = run.profile.inclusive("cpu")
        for name, spent in truth["functions"].items():
            share, true = sampled[name] / kernel, spent / kernel  # it ends a while after its own clock
            print(f"  {name}: sampled {share:.2%}, true {true:.2%}")
            self.assertAlmostEqual(share, true, delta=0.02, msg=name)

    def check_flutter(self, version):
        # Nearly every reading of it is torn where both have a CPU: some 3,000 samples a second.
        run, samples, _ = self.run_at_top_rate(version, "flutter.py", FLUTTER_SECONDS)
        impossible = 0
        for sample in run.profile.samples:
            names = [frame[0] for frame in sample["stack"] if frame[0] != "<gc>"]
            if os.path.basename(sample["stack"][-1][1]) != "flutter.py":
                continue  # what the interpreter does before
            if names[-2:] == ["main", "<module>"] and not is_possible(names[:-2]):
                print(f"  impossible: {names}")
                impossible += sample["values"]["samples"]
        self.assertGreater(samples, 20_000)
        self.assertEqual(impossible, 0)

    def test_shares_311(self):
        self.check_shares("3.11")

    def test_shares_312(self):
        self.check_shares("3.12")

    def test_shares_313(self):
        self.check_shares("3.13")

    def test_shares_314(self):
        self.check_shares("3.14")

    def test_shares_315(self):
        self.check_shares("3.15")

    def test_flutter_311(self):
        self.check_flutter("3.11")

    def test_flutter_312(self):
        self.check_flutter("3.12")

    def test_flutter_313(self):
        self.check_flutter("3.13")

    def test_flutter_314(self):
        self.check_flutter("3.14")

    def test_flutter_315(self):
        self.check_flutter("3.15")

    def check_churn(self, profile):
        """How many of its functions were seen. Their code is freed in a moment, and the next one has its memory."""
        functions = set()
        for sample in profile.samples:
            numbers = {re.search(r"\d+", frame[1])[0] for frame in sample["stack"] if frame[1].startswith("made")}
            numbers |= {frame[0][1:] for frame in sample["stack"] if re.fullmatch(r"f\d+", frame[0])}
            self.assertLessEqual(len(numbers), 1, sample["stack"])
            functions |= numbers
        self.assertGreater(len(functions), 30)
        return len(functions)

    def test_code_that_is_freed_at_the_top_rate(self):
        run, _, _ = self.run_at_top_rate("3.13", "churn.py")
        print(f"  {self.check_churn(run.profile)} functions that lived for a moment")

    def check_freed(self, version):
        run = Run(agent_runs.need_interpreters(version)[0].command("churn.py", "3"), ["--sample-rate", "1000"])
        print(f"  {version}: {self.check_churn(run.profile)} functions that lived for a moment")

    def check_freed_on_a_full_machine(self, version):
        # Then hundreds of them come and go between a reading and what is made of it.
        busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() + 1)]
        try:
            for _ in range(3):
                self.check_freed(version)
        finally:
            for process in busy:
                process.kill()
                process.wait()

    def test_code_that_is_freed_310(self):
        self.check_freed("3.10")

    def test_code_that_is_freed_313(self):
        self.check_freed_on_a_full_machine("3.13")

    def test_code_that_is_freed_314(self):
        self.check_freed("3.14")

    def test_code_that_is_freed_315(self):
        self.check_freed_on_a_full_machine("3.15")


if __name__ == "__main__":
    unittest.main()
