# SPDX-License-Identifier: Apache-2.0
"""Every CPython that there is, against what its own sys._getframe() says."""

import glob
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import agent_runs
from agent_runs import BUILD, Run, binomial_bound

RATE = 1000


class Versions(unittest.TestCase):
    def each(self, name, check):
        for interpreter in agent_runs.need_interpreters(name):
            with self.subTest(str(interpreter)):
                print(f"CPython {name}: {interpreter}")
                check(interpreter)

    def run_on(self, interpreter, program, *arguments):
        run = Run(interpreter.command(program, *arguments), ["--sample-rate", str(RATE)])
        self.assertEqual(run.status, 0, run.stderr)
        self.assertNotIn("machine code only", run.stderr)
        return run

    def check_stacks(self, interpreter):
        """Names, lines, generators, callbacks, recursion, a thread and a forked child: every sampled stack was one."""
        run = self.run_on(interpreter, "stacks.py", "3")
        truth = {tuple(map(tuple, stack)): ns for stack, ns in run.truth()["stacks"]}
        sampled, samples, wrong, cpu = {}, 0, 0, {}
        for sample in run.profile.samples:
            names = [frame[0] for frame in sample["stack"]]
            if "spin" not in names:
                continue
            self.assertEqual(os.path.basename(sample["stack"][names.index("spin")][1]), "stacks.py")
            callers = tuple((f[0], f[2]) for f in sample["stack"][names.index("spin") + 1:])
            count = sample["values"]["samples"]
            samples += count
            sampled[callers] = sampled.get(callers, 0) + count
            cpu[callers[0][0]] = cpu.get(callers[0][0], 0) + sample["values"]["cpu"]
            if callers not in truth:
                print(f"  {count} times a stack that was not: {callers[:6]}")
                wrong += count
        print(f"  stacks: {samples} samples of {len(truth)}, {wrong} wrong; {run.profile.comments[0]}")
        self.assertGreater(samples, 500)  # a busy machine leaves out most ticks
        self.assertEqual(wrong, 0)
        true_total, total = sum(truth.values()), sum(cpu.values())
        print(f"  CPU ns by spin's caller: {cpu} of {total}")
        for stack, ns in truth.items():
            # The chance of none where 50 are due is below a billionth, even if they come in groups.
            if ns / true_total * samples > 100:
                self.assertIn(stack, sampled)
        if run.is_too_busy(RATE):
            return
        for name in ("in_thread", "in_child"):
            true = sum(ns for stack, ns in truth.items() if stack[0][0] == name) / true_total
            self.assertAlmostEqual(cpu[name] / total, true, delta=0.02, msg=name)

    def check_shares(self, interpreter):
        run = self.run_on(interpreter, "shares.py", "3")
        truth, profile = run.truth(), run.profile
        total, samples = profile.total("cpu"), profile.total("samples")
        # The program's own clock stops a little before its end, and begins with what makes its root.
        self.assertAlmostEqual(total / 1e9, truth["process"] / 1e9, delta=truth["process"] / 1e9 * 0.02 + 0.06)
        if run.is_too_busy(RATE):
            return
        qualified = {name.rpartition(".")[2]: name for name in truth["functions"]}
        sampled = profile.inclusive("cpu")
        for short, name in qualified.items():
            # Before 3.11 a code object does not know its class.
            share = sampled[name if name in sampled else short] / total
            true = truth["functions"][name] / truth["process"]
            print(f"  {name}: sampled {share:.2%}, true {true:.2%}, of {samples}")
            self.assertAlmostEqual(share, true, delta=max(0.02, binomial_bound(true, samples, 5)), msg=name)

    def check_flutter(self, interpreter):
        run = self.run_on(interpreter, "flutter.py", "2")
        impossible = samples = 0
        for sample in run.profile.samples:
            names = [frame[0] for frame in sample["stack"]]
            if os.path.basename(sample["stack"][-1][1]) != "flutter.py":
                continue
            count = sample["values"]["samples"]
            samples += count
            above = names[:-2] if names[-2:] == ["main", "<module>"] else names
            if not self.is_possible(above):
                print(f"  impossible: {names}")
                impossible += count
        lost = sum(map(int, re.findall(r"(?:torn|unreadable|not stopped in time) (\d+)", run.profile.comments[0])))
        print(f"  flutter: {impossible} of {samples} impossible; {run.profile.comments[0]}")
        self.assertGreater(samples, 300)
        self.assertEqual(impossible, 0)
        self.assertLessEqual(lost, samples / 100)

    def check_subinterpreter(self, interpreter):
        run = self.run_on(interpreter, "subinterpreter.py", "1")
        stacks = {}
        for sample in run.profile.samples:
            names = tuple(frame[0] for frame in sample["stack"])
            if "inner" in names:
                stacks[names] = stacks.get(names, 0) + sample["values"]["samples"]
        print(f"  sub-interpreter: {stacks}")
        whole = stacks.get(("inner", "<module>", "outer", "<module>"), 0)
        self.assertGreater(whole, 100)
        self.assertEqual(sum(stacks.values()), whole)

    @staticmethod
    def is_possible(names):
        """Of what main() called; or the definitions in the beginning."""
        if not names:
            return True
        if names[0].startswith("chain"):
            number = names[0].split("_")[0]
            return names == [f"{number}_{depth}" for depth in reversed(range(len(names)))]
        if names[0] in ("even", "odd"):
            return names == ["even" if i % 2 == 0 else "odd" for i in reversed(range(len(names)))]
        return names in (["numbers", "drain"], ["drain"]) or not {"drain", "even", "odd"} & set(names)

    def check(self, name):
        self.each(name, self.check_stacks)
        if name.endswith("d"):
            return  # what differs in a debug build is where things are
        self.each(name, self.check_shares)
        self.each(name, self.check_flutter)
        if int(name.rstrip("dt").split(".")[1]) >= 12:
            self.each(name, self.check_subinterpreter)

    def test_37(self):
        self.check("3.7")

    def test_38(self):
        self.check("3.8")

    def test_39(self):
        self.check("3.9")

    def test_310(self):
        self.check("3.10")

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

    def test_39d(self):
        self.check("3.9d")

    def test_311d(self):
        self.check("3.11d")

    def test_313d(self):
        self.check("3.13d")

    def test_314d(self):
        self.check("3.14d")

    def test_315d(self):
        self.check("3.15d")

    def test_313t(self):
        self.check("3.13t")

    def test_314t(self):
        self.check("3.14t")


class Sleepers(unittest.TestCase):
    """--wall: a thread that sleeps is read where it sleeps, without a stop."""

    def check(self, name):
        interpreters = [i for i in agent_runs.find_all_interpreters(name) if i.root is None]
        if not interpreters:
            self.skipTest(f"no CPython {name}")
        run = Run(interpreters[0].command("threads.py", "1.5"), ["--sample-rate", "500", "--wall"])
        self.assertEqual(run.status, 0, run.stderr)
        kind = next(name for name, _ in run.profile.types if name.startswith("wall"))
        spent = run.profile.inclusive(kind).get("sleeper", 0) / 1e9
        print(f"CPython {name}: two threads slept for {spent:.2f} s of 1.5 s each")
        self.assertGreater(spent, 1.5)

    def test_38(self):
        self.check("3.8")

    def test_312(self):
        self.check("3.12")


class Embedded(unittest.TestCase):
    """In a program and from a library that are not called python, stripped, and not on the main thread."""

    SOURCE = ("import time\n"
              "def hot(until):\n"
              "    while time.monotonic() < until: pass\n"
              "hot(time.monotonic() + 1)\n")

    def check(self, name):
        libraries = [(i, file) for i in agent_runs.find_all_interpreters(name) if i.root is None
                     for file in glob.glob(f"{pathlib.Path(i.path).parents[1]}/lib/libpython{name}*.so.1.0")]
        if not libraries:
            self.skipTest(f"no CPython {name} with a shared library")
        interpreter, file = libraries[0]
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            engine = os.path.join(folder, "engine.so")
            subprocess.run(["strip", "-s", "-o", engine, file], check=True)
            environment = dict(os.environ, PYTHONHOME=str(pathlib.Path(interpreter.path).parents[1]))
            run = Run([str(BUILD / "bin" / "embedder"), engine, self.SOURCE], ["--sample-rate", "500"], env=environment)
        self.assertEqual(run.status, 0, run.stderr)
        share = run.profile.inclusive("cpu").get("hot", 0) / run.profile.total("cpu")
        print(f"CPython {name}: hot() has {share:.1%}")
        self.assertGreater(share, 0.5)  # the rest is the start of the interpreter
        stacks = [sample["stack"] for sample in run.profile.samples if sample["stack"][0][0] == "hot"]
        self.assertEqual({tuple(f[0] for f in stack) for stack in stacks}, {("hot", "<module>")})

    def test_37(self):
        self.check("3.7")

    def test_38(self):
        self.check("3.8")

    def test_39(self):
        self.check("3.9")

    def test_310(self):
        self.check("3.10")

    def test_311(self):
        self.check("3.11")

    def test_312(self):
        self.check("3.12")

    def test_313(self):
        self.check("3.13")


class TooOld(unittest.TestCase):
    """Said in one line; machine code is shown."""

    def check(self, name):
        interpreters = agent_runs.find_all_interpreters(name)
        if not interpreters:
            self.skipTest(f"no CPython {name}")
        run = Run([interpreters[0].path, "-c", "for i in range(6000000): pass"], ["--sample-rate", "500"])
        self.assertEqual(run.status, 0, run.stderr)
        said = [line for line in run.stderr.splitlines() if "CPython" in line]
        self.assertEqual(len(said), 1, run.stderr)
        self.assertRegex(said[0], f"machine code only: CPython {re.escape(name)}.* 3.7 to 3.15 are supported")
        names = run.profile.inclusive("cpu")
        self.assertTrue(any(name.startswith(("PyEval_Eval", "_PyEval_Eval")) for name in names), names)

    def test_27(self):
        self.check("2.7")

    def test_36(self):
        self.check("3.6")


if __name__ == "__main__":
    unittest.main()
