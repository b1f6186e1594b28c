# SPDX-License-Identifier: Apache-2.0
"""Stacks of .NET programs: where the program says what the chain is, every sample has it."""

import collections
import os
import re
import subprocess
import unittest

import dotnet
from agent_runs import Run

SECONDS = int(os.environ.get("AGENT_CHAIN_SECONDS", "10"))  # some 10,000 stacks, over all tiers of the compiler
LEAF = "Truth.Spin.Here"
MAIN = "Truth.Chains.Main"
# The library's first method in a thread, where it makes no tail call (.NET 8 and 9 do); the C library's, with symbols or not.
THREAD_START = re.compile(r"System\.Threading\.Thread\.StartCallback|start_thread|clone3?|libc\.so\.6\+0x.*")
MARKERS = ("[callers unknown]", "[stack cut]")


def own(names):
    """The program's own methods, the emitted one included; what runs between them belongs to the runtime and its library."""
    return [name for name in names if name.startswith("Truth.") or name == "dynamicClass.Forward"]


class Case:
    def __init__(self, said):
        self.name, self.through, self.from_main, self.cpu = said["name"], said["through"], said["from_main"], said["cpu"]
        # From the leaf outwards, as stacks are.
        self.chains = [chain[::-1] for chain in said["chains"]]
        self.marker = self.chains[0][1]
        self.stacks = self.sampled = 0

    def why_wrong(self, names):
        """names: from LEAF outwards. Nothing, where all is right."""
        if own(names) not in self.chains:
            return "other methods"
        if self.through and not any(re.search(self.through, name) for name in names):
            return f"not through {self.through}"
        if self.from_main and MAIN not in names:
            return "does not reach Main"
        if not self.from_main and not any(map(THREAD_START.fullmatch, names)):
            return "does not reach its thread's start"
        if found := [marker for marker in MARKERS if marker in names]:
            return f"ends in {found[0]}"
        return None


class Chains(unittest.TestCase):
    def check(self, form, version):
        run = Run([*dotnet.build("Chains", form, version), str(SECONDS)], ["--sample-rate", "1000"])
        self.assertEqual(run.status, 0, run.stderr)
        self.assertIsNotNone(run.profile, run.stderr)
        truth = run.truth()
        cases = {case.marker: case for case in map(Case, truth["cases"])}
        self.assertEqual(len(cases), len(truth["cases"]), "two cases with one marker")
        wrong, total = self.compare(run.profile, cases)
        for case in cases.values():
            print(f"  {case.name}: {case.stacks} stacks; sampled {case.sampled / 1e9:.3f} s, true {case.cpu / 1e9:.3f} s")
        count = sum(wrong.values())
        print(f"{form}, .NET {version}: {count} wrong of {total} stacks with {LEAF}")
        for (name, why, stack), stacks in wrong.most_common(10):
            print(f"  {stacks} of {name}: {why}\n    {stack}")
        self.assertEqual(count, 0)
        self.assertGreater(total, sum(case.cpu for case in cases.values()) / 1e6 / 2)  # a sample each millisecond
        for case in cases.values():
            with self.subTest(case.name):
                self.assertGreater(case.stacks, case.cpu / 1e6 / 4)
                self.assertAlmostEqual(case.sampled / truth["process"], case.cpu / truth["process"], delta=0.01)

    def compare(self, profile, cases):
        """({(case, what is wrong, stack): number of stacks}, number of all stacks that have the leaf)"""
        wrong, total = collections.Counter(), 0
        for sample in profile.samples:
            names = [frame[0].replace(", ", ",") for frame in sample["stack"]]
            if LEAF not in names:
                continue
            count = sample["values"]["samples"]
            total += count
            names = names[names.index(LEAF) :]
            # The innermost marker: what called the leaf, if nothing was lost.
            case = next((cases[name] for name in names if name in cases), None)
            why = case.why_wrong(names) if case else "no case's"
            if case:
                case.stacks += count
                case.sampled += sample["values"]["cpu"]
            if why:
                wrong[(case.name if case else "?", why, " < ".join(names))] += count
        return wrong, total

    def test_10_framework_dependent(self):
        self.check("framework_dependent", "10")

    def test_10_runtime_async(self):
        self.check("runtime_async", "10")

    def test_10_self_contained(self):
        self.check("self_contained", "10")

    def test_9_self_contained(self):
        self.check("self_contained", "9")

    def test_8_self_contained(self):
        self.check("self_contained", "8")

    def test_10_single_file(self):
        self.check("single_file", "10")

    def test_10_compressed(self):
        self.check("compressed", "10")

    def test_10_trimmed(self):
        self.check("trimmed", "10")

    def test_10_ready_to_run(self):
        self.check("ready_to_run", "10")

    def test_9_ready_to_run(self):
        self.check("ready_to_run", "9")

    def test_8_ready_to_run(self):
        self.check("ready_to_run", "8")

    def test_10_composite(self):
        self.check("composite", "10")

    def test_10_musl(self):
        self.check("musl", "10")


class Truth(unittest.TestCase):
    """What the program says of itself is what the runtime's own stack traces say; the agent has no part in it."""

    def check(self, form, version):
        run = subprocess.run([*dotnet.build("Chains", form, version), "5", "check"], capture_output=True, text=True, timeout=110)
        self.assertEqual(run.returncode, 0, run.stdout[:5000] + run.stderr)

    def test_10_framework_dependent(self):
        self.check("framework_dependent", "10")

    def test_10_runtime_async(self):
        self.check("runtime_async", "10")

    def test_9_self_contained(self):
        self.check("self_contained", "9")

    def test_8_self_contained(self):
        self.check("self_contained", "8")


if __name__ == "__main__":
    unittest.main()
