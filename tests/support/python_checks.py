# SPDX-License-Identifier: Apache-2.0
"""What holds for every CPython: each check runs one of tests/programs on one interpreter."""

import os
import re

from agent_runs import Run, binomial_bound

RATE = 1000
SHARE_SECONDS = int(os.environ.get("AGENT_SHARE_SECONDS", "3"))  # 10,000 samples take 11
TORN_SECONDS = int(os.environ.get("AGENT_TORN_SECONDS", "0"))  # 20,000 samples at 1 kHz take 25; 0: the short form

# flutter.py's
CALLED_BY_MAIN = ("chain", "even", "odd", "left", "right", "drain", "delegate", "take_turns")
GENERATOR_STACKS = (["drain"], ["numbers", "drain"],
                    ["delegate"], ["outer", "delegate"], ["middle", "outer", "delegate"], ["inner", "middle", "outer", "delegate"],
                    ["take_turns"], ["ping", "take_turns"], ["pong", "take_turns"])


class Checks:
    """For a unittest.TestCase."""

    def run_on(self, interpreter, program, *arguments, rate=RATE):
        run = Run(interpreter.command(program, *arguments), ["--sample-rate", str(rate)])
        self.assertEqual(run.status, 0, run.stderr)
        self.assertNotIn("machine code only", run.stderr)
        return run

    def check_enough(self, run, rate, samples, enough):
        """A busy machine leaves out most ticks."""
        self.assertGreater(samples, 30 if run.is_too_busy(rate) else enough)

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
        self.check_enough(run, RATE, samples, 500)
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
        run = self.run_on(interpreter, "shares.py", str(SHARE_SECONDS))
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

    def check_torn(self, interpreter):
        """No stack that cannot have been: by issue 5 at most one in 20,000."""
        stops = interpreter.minor() < 11
        # The short form gets its samples by the rate, where that stops nobody.
        rate, seconds = (RATE, TORN_SECONDS) if TORN_SECONDS or stops else (10_000, 2)
        run = self.run_on(interpreter, "flutter.py", str(seconds or 2), rate=rate)
        impossible, samples = self.count_impossible(run.profile)
        lost = sum(map(int, re.findall(r"(?:torn|unreadable|not stopped in time) (\d+)", run.profile.comments[0])))
        print(f"  torn: {impossible} impossible of {samples} at {rate} Hz, {lost / samples:.4%} refused for good; "
              f"{run.profile.comments[0]}")
        self.check_enough(run, rate, samples, 300)
        if TORN_SECONDS and not run.is_too_busy(rate):
            self.assertGreater(samples + run.late_ticks(), 20_000)
        self.assertLessEqual(impossible * 20_000, samples)
        self.assertLessEqual(lost, samples / 100)

    @classmethod
    def count_impossible(cls, profile):
        """(impossible samples, all of flutter.py's)"""
        impossible = samples = 0
        for sample in profile.samples:
            if os.path.basename(sample["stack"][-1][1]) != "flutter.py":
                continue
            # Garbage is collected anywhere.
            names = [frame[0] for frame in sample["stack"] if frame[0] != "<gc>"]
            count = sample["values"]["samples"]
            samples += count
            if not cls.is_possible(names):
                print(f"  impossible: {names[:10]} of {len(names)}")
                impossible += count
        return impossible, samples

    def check_lines(self, interpreter):
        """Every line of a generated program that calls spin(), and no other, is the line of a sample there."""
        rate = 2 * RATE
        run = self.run_on(interpreter, "lines.py", "2.5", rate=rate)
        truth = {tuple(map(tuple, stack)): ns for stack, ns in run.truth()["stacks"]}
        sampled = {}
        for sample in run.profile.samples:
            stack = [(name, line) for name, file, line in sample["stack"] if os.path.basename(file) == "generated.py"]
            if sample["stack"][0][0] == "spin":
                sampled[tuple(stack)] = sampled.get(tuple(stack), 0) + sample["values"]["samples"]
        samples = sum(sampled.values())
        print(f"  lines: {len(sampled)} of {len(truth)} in {samples} samples")
        self.assertEqual({stack for stack in sampled if stack not in truth}, set())
        self.check_enough(run, rate, samples, 500)
        if run.is_too_busy(rate):
            return
        for stack, ns in truth.items():
            if ns / sum(truth.values()) * samples > 25:
                self.assertIn(stack, sampled)

    def check_children(self, interpreter):
        """Children by fork, spawn, forkserver, subprocess and behind a shell: all of their time is there, as theirs."""
        self.check_burners(self.run_on(interpreter, "children.py", "0.3"), processes=6)

    def check_executes(self, interpreter):
        """A process that executes another image in place, twice."""
        self.check_burners(self.run_on(interpreter, "executes.py", "0.4"), processes=1)

    def check_burners(self, run, processes):
        truth, sampled = run.truth()["functions"], run.profile.inclusive("cpu")
        print(f"  each {next(iter(truth.values())) / 1e9} s: "
              f"{', '.join(f'{name} {sampled.get(name, 0) / 1e9:.3f}' for name in truth)}")
        for name, true in truth.items():
            self.assertAlmostEqual(sampled.get(name, 0) / 1e9, true / 1e9, delta=0.03, msg=name)
        pids = {sample["labels"]["pid"] for sample in run.profile.samples for frame in sample["stack"] if frame[0] in truth}
        self.assertEqual(len(pids), processes)

    def check_exits(self, interpreter):
        """Processes that end, are killed or replaced while their threads are sampled."""
        run = self.run_on(interpreter, "exits.py", "24")
        of_class = "" if interpreter.minor() < 11 else "Thread."
        allowed = (["brief", "main", "<module>"],
                   ["beside", f"{of_class}run", f"{of_class}_bootstrap_inner", f"{of_class}_bootstrap"])
        truth, seen, wrong = run.truth(), {}, []
        for sample in run.profile.samples:
            names = [frame[0] for frame in sample["stack"]]
            if "deep" not in names:
                continue
            pid = sample["labels"]["pid"]
            seen[pid] = seen.get(pid, 0) + sample["values"]["samples"]
            if [name for name in names if name != "deep"] not in allowed:
                wrong.append((sample["labels"], names))
        print(f"  exits: {len(seen)} of {truth['children']} children seen, {sum(seen.values())} samples of them; "
              f"{run.profile.comments[0]}")
        self.assertGreater(len(seen), truth["children"] * 0.9)
        self.assertEqual(wrong, [])

    def check_threads(self, interpreter):
        """Each thread's samples are of one thread, and have the name that Python has for it."""
        run = self.run_on(interpreter, "threads.py", "1")
        names, tids = {}, {}
        for sample in run.profile.samples:
            for function in {frame[0] for frame in sample["stack"]} & {"north", "east", "south", "west"}:
                counts, name = names.setdefault(function, {}), sample["labels"]["thread"]
                counts[name] = counts.get(name, 0) + sample["values"]["samples"]
                tids.setdefault(function, set()).add(sample["labels"]["tid"])
        print(f"  threads: {names}, {tids}")
        self.assertEqual(set(map(len, tids.values())), {1})
        self.assertEqual(len(set.union(*tids.values())), 4)
        for function, counts in names.items():
            # Before Python has entered it among its threads it has the process's.
            others = sum(counts.values()) - counts.get(function, 0)
            self.assertLessEqual(others, max(3, 0.1 * sum(counts.values())), counts)

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
        """Of what main() called; or main() and the definitions in the beginning, which call none of it."""
        if names[-2:] != ["main", "<module>"]:
            return names == ["<module>"]
        above = names[:-2]
        if not above or above[-1] in ("make", "<genexpr>", "<listcomp>", "main.<locals>.<listcomp>"):
            return not any(name.startswith(CALLED_BY_MAIN) for name in above)
        if above[-1].startswith("chain"):
            number = above[-1].split("_")[0]
            return above == [f"{number}_{depth}" for depth in reversed(range(len(above)))]
        if above[-1] == "even":
            return above == ["even" if i % 2 == 0 else "odd" for i in reversed(range(len(above)))]
        if above[-1] in ("left", "right"):
            return set(above) == {above[-1]} and len(above) <= 251
        return above in GENERATOR_STACKS
