# SPDX-License-Identifier: Apache-2.0
"""Shares of .NET programs that know their own truth, in every form that they are shipped in."""

import os
import pathlib
import unittest

import agent_runs
import dotnet
from agent_runs import Run

SECONDS = int(os.environ.get("AGENT_SHARE_SECONDS", "5"))  # 10,000 samples, where 2 points are asked for, take 11
MARKERS = ("[callers unknown]", "[stack cut]")


def percent(part, whole):
    return f"{part / whole:.3%}"


class DotnetTest(unittest.TestCase):
    def run_truth(self, command, flags=()):
        run = Run(command, ["--sample-rate", "1000", *flags])
        self.assertEqual(run.status, 0, run.stderr)
        self.assertIsNotNone(run.profile, run.stderr)
        self.truth, self.profile = run.truth(), run.profile
        self.late_share = run.late_ticks() * 1e6 / max(run.profile.duration_nanos, 1)
        self.total = run.profile.total("cpu")
        self.samples = run.profile.total("samples")
        self.inclusive = run.profile.inclusive("cpu")
        process = self.truth["process"]
        print(f"{self.samples} samples; profile {self.total / 1e9:.3f} s, program {process / 1e9:.3f} s")
        # The program's own clock stops a little before its end.
        self.assertAlmostEqual(self.total / process, 1, delta=0.02)

    def check_share(self, name, sampled, true):
        """CPU of the profile and CPU by the program's own clock, both as shares of all."""
        share, true = sampled / self.total, true / self.truth["process"]
        # Few samples: what chance alone does, besides.
        most = 0.02 if self.samples >= 10_000 else max(0.03, agent_runs.binomial_bound(true, self.samples))
        print(f"  {name}: sampled {share:.2%}, true {true:.2%}")
        self.assertAlmostEqual(share, true, delta=most, msg=name)

    def check_whole(self, most=0.005):
        # A stack that is walked late, since the machine is busy, may have changed meanwhile.
        if self.late_share > 0.05:
            most *= 3
        for marker in MARKERS:
            found = self.inclusive.get(marker, 0)
            print(f"  {marker}: {percent(found, self.total)}")
            below = {}
            for sample in self.profile.samples:
                names = [frame[0] for frame in sample["stack"]]
                if marker in names:
                    key = " < ".join(names[max(names.index(marker) - 3, 0) : names.index(marker)])
                    below[key] = below.get(key, 0) + sample["values"]["cpu"]
            for key, cpu in sorted(below.items(), key=lambda item: -item[1])[:5]:
                print(f"    {percent(cpu, self.total)} {key}")
            self.assertLess(found / self.total, most, marker)


class Shares(DotnetTest):
    def check(self, form, version):
        self.run_truth([*dotnet.build("Shares", form, version), str(SECONDS)])
        print(f"  {self.truth['collections']} garbage collections")
        self.assertGreater(self.truth["collections"], 5 * SECONDS)
        for name, true in self.truth["functions"].items():
            self.check_share(name, self.inclusive.get(name, 0), true)
        collected = self.inclusive.get("[GC]", 0)
        self.check_share("[GC]", collected, self.truth["pause"])
        self.assertGreater(collected, 0)
        self.check_whole()
        self.check_callers()

    def check_callers(self):
        """All that the program's own methods do, they do for Main."""
        wrong, all_of_it, examples = 0, 0, set()
        for sample in self.profile.samples:
            names = [frame[0] for frame in sample["stack"]]
            if not any(name.startswith("Truth.Work.") for name in names):
                continue
            all_of_it += sample["values"]["cpu"]
            if "Truth.Shares.Main" not in names:
                wrong += sample["values"]["cpu"]
                examples.add(" < ".join(names[-6:]))
        print(f"  {percent(wrong, all_of_it)} of the program's own time without Main")
        self.assertEqual(wrong, 0, "\n".join(sorted(examples)[:5]))

    def check_file(self):
        """Where a method is: in its assembly, or in a source file where that is known."""
        for name in self.truth["functions"]:
            file = self.profile.functions[name][0]
            self.assertEqual(pathlib.Path(file).stem.lower(), "shares", name)

    def test_10_framework_dependent(self):
        self.check("framework_dependent", "10")
        self.check_file()

    def test_10_self_contained(self):
        self.check("self_contained", "10")

    def test_9_self_contained(self):
        self.check("self_contained", "9")

    def test_8_self_contained(self):
        self.check("self_contained", "8")

    def test_10_single_file(self):
        self.check("single_file", "10")

    def test_9_single_file(self):
        self.check("single_file", "9")

    def test_8_single_file(self):
        self.check("single_file", "8")

    def test_10_compressed(self):
        self.check("compressed", "10")

    def test_10_trimmed(self):
        self.check("trimmed", "10")

    def test_10_ready_to_run(self):
        self.check("ready_to_run", "10")

    def test_10_composite(self):
        self.check("composite", "10")

    def test_10_musl(self):
        self.check("musl", "10")

    def test_10_native_aot(self):
        """Machine code like any other; only its names are made readable."""
        self.check("native_aot", "10")


class Loads(DotnetTest):
    """Assemblies loaded from memory, each unloaded before the next one comes."""

    def check(self, form, version):
        self.run_truth([*dotnet.build("Loads", form, version), str(SECONDS)])
        print(f"  {self.truth['unloaded']} of 20 assemblies unloaded")
        self.assertGreater(self.truth["unloaded"], 15)
        for name, true in self.truth["functions"].items():
            self.check_share(name, self.inclusive.get(name, 0), true)
            # A name that belongs to the one before would take its share from here.
            self.assertGreater(self.inclusive.get(name, 0) / true, 0.8, name)
        self.assertNotIn("[unknown method]", self.inclusive)
        self.check_whole()

    def test_10_framework_dependent(self):
        self.check("framework_dependent", "10")

    def test_9_self_contained(self):
        self.check("self_contained", "9")

    def test_8_self_contained(self):
        self.check("self_contained", "8")


class Threads(DotnetTest):
    """A pool of a hundred threads that mostly sleep costs what the kernel charged to it, and two others work."""

    POOL = 100

    def check(self, form, version):
        self.run_truth([*dotnet.build("Threads", form, version), str(SECONDS), str(self.POOL)])
        self.assertGreaterEqual(self.truth["pool"], self.POOL)
        for name, true in self.truth["functions"].items():
            self.check_share(name, self.inclusive.get(name, 0), true)
        charged = {}
        for sample in self.profile.samples:
            thread = sample["labels"].get("thread", "")
            charged[thread] = charged.get(thread, 0) + sample["values"]["cpu"]
        north, south = self.truth["functions"]["Truth.Threads.North"], self.truth["functions"]["Truth.Threads.South"]
        for name, true in (("north", north), ("south", south), (".NET TP Worker", self.truth["threads"][".NET TP Worker"])):
            sampled = charged.get(name, 0)
            print(f"  thread {name}: {percent(sampled, self.total)} of the profile, the kernel charged {percent(true, self.total)}")
            self.assertLess(abs(sampled - true) / self.total, 0.01, name)
        items = self.inclusive.get("Truth.Threads.Item", 0)
        print(f"  the pool's items: {percent(items, self.total)}, true {percent(self.truth['items'], self.total)}")
        self.assertLess(abs(items - self.truth["items"]) / self.total, 0.01)
        self.check_whole()

    def test_10_framework_dependent(self):
        self.check("framework_dependent", "10")

    def test_9_self_contained(self):
        self.check("self_contained", "9")

    def test_8_self_contained(self):
        self.check("self_contained", "8")


if __name__ == "__main__":
    unittest.main()
