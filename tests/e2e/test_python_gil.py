# SPDX-License-Identifier: Apache-2.0
"""--gil: only threads that hold the GIL. --wall: those that wait for it."""

import unittest

import agent_runs
from agent_runs import Run


class Gil(unittest.TestCase):
    def run_on(self, name):
        run = Run(agent_runs.need_interpreters(name)[0].command("gil.py", "2"), ["--sample-rate", "500", "--gil"])
        self.assertEqual(run.status, 0, run.stderr)
        truth = run.truth()["functions"]
        sampled = run.profile.inclusive("cpu")
        print(f"CPython {name}: holder {sampled.get('holder', 0) / 1e9:.3f} s of {truth['holder'] / 1e9:.3f} s, "
              f"hasher {sampled.get('hasher', 0) / 1e9:.3f} s of {truth['hasher'] / 1e9:.3f} s, "
              f"all {run.profile.total('cpu') / 1e9:.3f} s")
        return run, truth, sampled

    def check(self, name):
        run, truth, sampled = self.run_on(name)
        self.assertGreater(truth["hasher"], 1e8)
        self.assertLess(sampled.get("hasher", 0), truth["hasher"] * 0.05)
        self.assertGreater(sampled["holder"], truth["holder"] * 0.8)
        # What is left out is not given to anything else: the rest is the interpreter's start.
        self.assertLess(run.profile.total("cpu"), truth["holder"] + truth["hasher"] * 0.05 + 3e8)
        self.assertNotIn("[without the GIL]", sampled)

    def test_37(self):
        self.check("3.7")

    def test_39(self):
        self.check("3.9")

    def test_311(self):
        self.check("3.11")

    def test_312(self):
        self.check("3.12")

    def test_313(self):
        self.check("3.13")

    def test_314(self):
        self.check("3.14")

    def test_315(self):
        self.check("3.15")

    def test_311d(self):
        self.check("3.11d")

    def test_313t(self):
        # There is none: said, and everything shown.
        run, truth, sampled = self.run_on("3.13t")
        self.assertIn("--gil leaves out no thread", run.stderr)
        self.assertGreater(sampled["hasher"], truth["hasher"] * 0.8)


class Waits(unittest.TestCase):
    """Of four threads that want nothing but the GIL three wait for it."""

    WORK = ("north", "east", "south", "west")

    def check(self, name):
        run = Run(agent_runs.need_interpreters(name)[0].command("threads.py", "2"), ["--sample-rate", "500", "--wall"])
        self.assertEqual(run.status, 0, run.stderr)
        kind = next(name for name, _ in run.profile.types if name.startswith("wall"))
        worked, waited, other = 0, 0, {}
        for sample in run.profile.samples:
            names = [frame[0] for frame in sample["stack"]]
            if not set(names) & set(self.WORK):
                continue
            if "[waits for the GIL]" in names:
                self.assertEqual(names[1], "[waits for the GIL]")
                self.assertEqual(names[0], "futex [syscall]")
                waited += sample["values"][kind]
            elif names[0].endswith("[syscall]"):
                other[names[0]] = other.get(names[0], 0) + sample["values"][kind]
            else:
                worked += sample["values"][kind]
        print(f"CPython {name}: {worked / 1e9:.2f} s of work, {waited / 1e9:.2f} s of waiting for the GIL, other {other}")
        self.assertGreater(waited, 1.5 * worked)
        self.assertLess(waited, 4 * worked)
        self.assertLess(sum(other.values()), 0.1 * waited)

    def test_310(self):
        self.check("3.10")

    def test_311(self):
        self.check("3.11")

    def test_313(self):
        self.check("3.13")


if __name__ == "__main__":
    unittest.main()
