# SPDX-License-Identifier: Apache-2.0
"""Shares of a program that knows its own truth."""

import unittest

import agent_runs
from agent_runs import PROGRAMS, Run, binomial_bound

SECONDS = {100: 10.4, 1000: 12}  # at 1 kHz with room for ticks that a busy machine leaves out


class Shares(unittest.TestCase):
    def run_shares(self, version, rate):
        python = agent_runs.interpreter(version)
        run = Run([python, str(PROGRAMS / "shares.py"), str(SECONDS[rate])], ["--sample-rate", str(rate)])
        self.assertEqual(run.status, 0, run.stderr)
        truth = run.truth()
        profile = run.profile
        self.assertEqual(profile.types, [("cpu", "nanoseconds"), ("samples", "count")])
        self.assertEqual(profile.period_type, ("cpu", "nanoseconds"))
        self.assertEqual(profile.period, 1_000_000_000 // rate)
        # The program's own clock stops a little before its end.
        total = profile.total("cpu")
        print(f"{version} at {rate} Hz: profile {total / 1e9:.3f} s, program {truth['process'] / 1e9:.3f} s")
        self.assertAlmostEqual(total / truth["process"], 1, delta=0.02)
        return run, profile, truth, total

    def check_at_1000_hz(self, version):
        _, profile, truth, total = self.run_shares(version, 1000)
        self.assertGreaterEqual(profile.total("samples"), 10_000)
        sampled = profile.inclusive("cpu")
        for name, spent in truth["functions"].items():
            share, true = sampled[name] / total, spent / truth["process"]
            print(f"  {name}: sampled {share:.2%}, true {true:.2%}")
            self.assertAlmostEqual(share, true, delta=0.02, msg=name)

    def check_at_100_hz(self, version):
        _, profile, truth, total = self.run_shares(version, 100)
        samples = profile.total("samples")
        sampled = profile.inclusive("cpu")
        for name, spent in truth["functions"].items():
            share, true = sampled[name] / total, spent / truth["process"]
            print(f"  {name}: sampled {share:.2%}, true {true:.2%}, of {samples} samples")
            self.assertAlmostEqual(share, true, delta=binomial_bound(true, samples), msg=name)

    def test_311_at_1000_hz(self):
        self.check_at_1000_hz("3.11")

    def test_312_at_1000_hz(self):
        self.check_at_1000_hz("3.12")

    def test_313_at_1000_hz(self):
        self.check_at_1000_hz("3.13")

    def test_311_at_100_hz(self):
        self.check_at_100_hz("3.11")

    def test_312_at_100_hz(self):
        self.check_at_100_hz("3.12")

    def test_313_at_100_hz(self):
        self.check_at_100_hz("3.13")


class Calls(unittest.TestCase):
    """Code that calls all the time has its share beside code that does not, though its stack changes while it is read."""

    def check(self, version, rate=1000):
        run = Run(agent_runs.need_interpreters(version)[0].command("depths.py", "8", "60", "1", "1", "share"), ["--sample-rate", str(rate)])
        self.assertEqual(run.status, 0, run.stderr)
        true = run.truth()["bottom"]
        busy = [s for s in run.profile.samples if any(frame[0] == "busy" for frame in s["stack"])]
        total = sum(s["values"]["cpu"] for s in busy)
        share = sum(s["values"]["cpu"] for s in busy if s["stack"][0][0] == "bottom") / total
        print(f"  {version}: sampled {share:.2%}, true {true:.2%}")
        # Not nearer: what the program measures itself, it does with warmer caches.
        self.assertAlmostEqual(share, true, delta=0.06)

    def test_calls_311(self):
        self.check("3.11")

    def test_calls_312(self):
        self.check("3.12")

    def test_calls_313(self):
        self.check("3.13")

    def test_calls_314(self):
        self.check("3.14")

    def test_calls_315(self):
        self.check("3.15")


class Asks(unittest.TestCase):
    """So has code between system calls, though a stop prefers their ends."""

    def check(self, version):
        run = Run(agent_runs.need_interpreters(version)[0].command("asks.py", "6"), ["--sample-rate", "1000"])
        self.assertEqual(run.status, 0, run.stderr)
        true = run.truth()["think"]
        cpu = {name: 0 for name in ("think", "ask")}
        for sample in run.profile.samples:
            for name in {frame[0] for frame in sample["stack"]} & cpu.keys():
                cpu[name] += sample["values"]["cpu"]
        share = cpu["think"] / sum(cpu.values())
        print(f"  {version}: sampled {share:.2%}, true {true:.2%}")
        self.assertAlmostEqual(share, true, delta=0.06)

    def test_asks_310(self):
        self.check("3.10")

    def test_asks_312(self):
        self.check("3.12")

    def test_asks_315(self):
        self.check("3.15")


class Interpreters(unittest.TestCase):
    def test_which_were_found(self):
        found = agent_runs.find_interpreters()
        for version in agent_runs.SUPPORTED:
            print(f"CPython {version}: {found.get(version, 'not found')}")
        self.assertTrue(found, "no supported CPython at all")


if __name__ == "__main__":
    unittest.main()
