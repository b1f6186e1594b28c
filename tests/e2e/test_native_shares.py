# SPDX-License-Identifier: Apache-2.0
"""Shares of machine code that knows its own truth: C++, Rust, and what a JIT compiler makes of JavaScript."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import agent_runs
import golang
from agent_runs import BUILD, PROGRAMS, Run

SECONDS = int(os.environ.get("AGENT_SHARE_SECONDS", "5"))  # 10,000 samples, where 2 points are asked for, take 11
MARKERS = ("[callers unknown]", "[stack cut]")


def needed(command):
    path = shutil.which(command)
    if path is None:
        raise unittest.SkipTest(f"no {command}")
    return path


class NativeShares(unittest.TestCase):
    def run_truth(self, command, flags=(), **options):
        run = Run(command, ["--sample-rate", "1000", *flags], **options)
        self.assertEqual(run.status, 0, run.stderr)
        self.assertIsNotNone(run.profile, run.stderr)
        self.truth = run.truth()
        self.profile = run.profile
        self.late_share = run.late_ticks() / (SECONDS * 1000)
        self.total = run.profile.total("cpu")
        self.inclusive = run.profile.inclusive("cpu")
        self.samples = run.profile.total("samples")
        print(f"{self.samples} samples; profile {self.total / 1e9:.3f} s, program {self.truth['process'] / 1e9:.3f} s")
        # The program's own clock stops a little before its end.
        self.assertAlmostEqual(self.total / self.truth["process"], 1, delta=0.02)

    def check_shares(self, names):
        """names: {name of the truth: name in the profile}"""
        # Few samples: what chance alone does, besides.
        for name, own_name in names.items():
            share = self.inclusive.get(own_name, 0) / self.total
            true = self.truth["functions"][name] / self.truth["process"]
            most = 0.02
            if self.samples < 10_000:
                most = max(0.03, agent_runs.binomial_bound(true, self.samples))
            print(f"  {own_name}: sampled {share:.2%}, true {true:.2%}")
            self.assertAlmostEqual(share, true, delta=most, msg=own_name)

    def check_whole(self, most=0.005):
        # A stack that is walked late, since the machine is busy, may lie in a library that is not there any more.
        if self.late_share > 0.05:
            most *= 3
        for marker in MARKERS:
            share = self.inclusive.get(marker, 0) / self.total
            print(f"  {marker}: {share:.3%}")
            leaves = {}
            for names, cpu in self.stacks_with(marker):
                key = " < ".join(names[: names.index(marker)][-2:])
                leaves[key] = leaves.get(key, 0) + cpu
            for key, cpu in sorted(leaves.items(), key=lambda item: -item[1])[:5]:
                print(f"    {cpu / self.total:.3%} {key}")
            self.assertLess(share, most, marker)

    def stacks_with(self, function):
        """[(names from the leaf to the root, CPU)] of the samples that have it anywhere"""
        stacks = [([frame[0] for frame in sample["stack"]], sample["values"]["cpu"]) for sample in self.profile.samples]
        return [(names, cpu) for names, cpu in stacks if function in names]

    def check_always(self, function, chain):
        """Where `function` is the leaf-most of ours, these are its callers, one behind the other."""
        found = self.stacks_with(function)
        self.assertTrue(found, function)
        wrong = 0
        for names, cpu in found:
            at = names.index(function)
            if names[at : at + len(chain)] != chain:
                wrong += cpu
                example = names[at : at + len(chain) + 1]
        share = wrong / sum(cpu for _, cpu in found)
        print(f"  {function}: {share:.3%} of its time with other callers")
        self.assertLess(share, 0.005, example[-3:] if wrong else "")

    def test_cpp(self):
        steps = BUILD / "tests" / "programs" / "steps"
        program = BUILD / "bin" / "native_truth"
        self.run_truth([str(program), str(SECONDS), str(steps / "plugin1.so"), str(steps / "plugin2.so")])
        print(f"  plugins at the same address in {self.truth['same_place']} of {self.truth['rounds']} rounds")
        self.assertGreater(self.truth["same_place"], self.truth["rounds"] // 2)
        self.check_shares(
            {
                "truth::CallsInlined": "truth::CallsInlined(unsigned long)",
                "truth::Templated": "unsigned long truth::Templated<unsigned long, 7>(unsigned long)",
                "truth::Recursive": "truth::Bottom(unsigned long)",
                "truth::RaisesSignal": "truth::InHandler(unsigned long)",
                "truth::ThreadOuter": "truth::SpinInThread(unsigned long)",
                "PluginBurnA": "PluginBurnA",
                "PluginBurnB": "PluginBurnB",
            }
        )
        self.check_whole()
        # Most of it is in what was inlined.
        inlined = self.inclusive["truth::MixInlined(unsigned long)"]
        self.assertGreater(inlined / self.inclusive["truth::CallsInlined(unsigned long)"], 0.8)
        recursive = "truth::Recursive(int, unsigned long)"
        self.check_always("truth::Bottom(unsigned long)", ["truth::Bottom(unsigned long)"] + [recursive] * 300 + ["operator()"])
        self.check_always(
            "truth::SpinInThread(unsigned long)",
            [f"truth::{name}(unsigned long)" for name in ("SpinInThread", "ThreadInner", "ThreadOuter")],
        )
        # Through the signal frame from one stack to the other.
        handled = self.stacks_with("truth::InHandler(unsigned long)")
        through = sum(cpu for names, cpu in handled if "(anonymous namespace)::Work(char const*, char const*)" in names)
        self.assertGreater(through / sum(cpu for _, cpu in handled), 0.98)

    def test_a_main_thread_that_ends_before_the_others(self):
        steps = BUILD / "tests" / "programs" / "steps"
        command = [str(BUILD / "bin" / "native_truth"), "1", str(steps / "plugin1.so"), str(steps / "plugin2.so")]
        for _ in range(5):  # it ends when the others have only just been born
            run = Run(command, ["--sample-rate", "2000"])
            self.assertGreater(run.profile.total("samples"), 100)

    def test_threads_that_yield(self):
        """Where a thread waits for a processor that it gave up itself costs nothing."""
        self.run_truth([str(BUILD / "bin" / "yields"), str(SECONDS)])
        share = self.inclusive["(anonymous namespace)::Spin()"] / self.total
        print(f"  Spin: {share:.2%}")
        self.assertGreater(share, 0.97)

    def check_asks(self, rate):
        """Code between system calls has its share, though a stop prefers their ends."""
        run = Run([str(BUILD / "bin" / "asks"), "6"], ["--sample-rate", str(rate)])
        self.assertEqual(run.status, 0, run.stderr)
        true, cpu = run.truth()["think"], run.profile.inclusive("cpu")
        think, ask = (cpu.get(f"(anonymous namespace)::{name}()", 0) for name in ("Think", "Ask"))
        share = think / (think + ask)
        print(f"  {rate} Hz: sampled {share:.2%}, true {true:.2%}")
        # A stop in twenty comes late, where we got no CPU in time.
        self.assertAlmostEqual(share, true, delta=0.12)

    def test_asks_at_100_hz(self):
        self.check_asks(100)

    def test_asks_at_1000_hz(self):
        self.check_asks(1000)

    def test_rust(self):
        rustc = needed("rustc")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            program = pathlib.Path(folder) / "native_truth"
            subprocess.run([rustc, "-O", "-g", "-o", program, PROGRAMS / "native_truth.rs"], check=True)
            self.run_truth([str(program), str(SECONDS)])
        self.check_shares(
            {
                "plain": "native_truth::work::plain",
                "area": "<native_truth::work::Square as native_truth::work::Shape>::area",
                "recursive": "native_truth::work::bottom",
            }
        )
        self.check_whole()

    def check_go(self, source, arguments, program_arguments=(), names=None):
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            program = pathlib.Path(folder) / "program"
            built = golang.build(golang.find()[0], PROGRAMS / "go" / source, program, arguments)
            self.assertEqual(built.returncode, 0, built.stderr)
            self.run_truth([str(program), str(SECONDS), *program_arguments])
        self.check_shares({name: name for name in self.truth["functions"]} | (names or {}))
        self.check_whole()

    def test_go(self):
        self.check_go("shares.go", [])
        self.check_always("main.mix", ["main.mix", "main.checksum"])

    def test_go_stripped(self):
        self.check_go("shares.go", ["-ldflags=-s -w"], ["3"])
        self.check_always("main.mix", ["main.mix", "main.checksum"])

    def test_cgo(self):
        needed("gcc")
        # Between a callback and the Go code that called C, the frames of C are not shown: they lie on a third stack.
        self.check_go("cgo_shares.go", [], names={"c_call_back": "main.goCalledBack"})
        # The goroutine is copied from the first sample on, before the program's tables are compiled.
        cut_off = [names for names, _ in self.stacks_with("[callers unknown]") if any("c_hash" in name for name in names)]
        self.assertEqual(cut_off, [])

    def test_node(self):
        node = needed("node")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:  # node leaves a log where it runs
            self.run_truth([node, "--perf-basic-prof", str(PROGRAMS / "shares.js"), str(SECONDS)], cwd=folder)
        self.check_javascript()

    def test_node_with_jitdump(self):
        node = needed("node")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            self.run_truth([node, "--perf-prof", str(PROGRAMS / "shares.js"), str(SECONDS)], cwd=folder)
            self.assertTrue(list(pathlib.Path(folder).glob("jit-*.dump")))
        self.check_javascript()

    def check_javascript(self):
        self.check_shares({"tokenize": "tokenize", "checksum": "checksum", "draw": "draw"})
        # Code of the JIT compiler is walked by frame pointers, which are not there in its first instructions.
        self.check_whole(most=0.01)

    def test_wall(self):
        """A second of a thread is a second of wall time, whether it computes or sleeps."""
        threads, busy, seconds = 8, 1, 4
        run = Run([str(BUILD / "bin" / "busy_threads"), str(threads), str(busy), str(seconds)], ["--wall"])
        self.assertEqual(run.status, 0, run.stderr)
        wall = run.profile.inclusive("wall")
        expected = {"(anonymous namespace)::Busy(void*)": busy, "(anonymous namespace)::Sleeper(void*)": threads - busy, "main": 1}
        for name, count in expected.items():
            print(f"  {name}: {wall.get(name, 0) / 1e9:.2f} s of wall time, {count * seconds} s true")
            self.assertAlmostEqual(wall.get(name, 0) / 1e9, count * seconds, delta=0.1 * count * seconds)
        waits = run.profile.inclusive("wall")["futex [syscall]"] / 1e9
        self.assertAlmostEqual(waits, (threads - busy) * seconds, delta=0.1 * threads * seconds)


if __name__ == "__main__":
    unittest.main()
