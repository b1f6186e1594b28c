# SPDX-License-Identifier: Apache-2.0
"""Stacks of .NET programs, frame by frame against Microsoft's own reader of them (ClrMD).

The program is stopped by SIGSTOP, our walk and ClrMD's look at the same threads, and it goes on. All instruction pointers
of methods and all names are to be equal, but for what ClrMD does otherwise, which is counted:

- Where native code was called through an InlinedCallFrame, ClrMD has the label that the frame keeps, not the return
  address: another place in the same method.
- Of a thread in one of the runtime's helpers or in native code that was called without such a frame (write barrier,
  allocation, memmove) it has no methods at all; at most a frame without a name, with whatever registers it read before.

And one that is ours: glibc describes clone3 only up to its system call, so that a thread that is just making another has no
callers.
"""

import os
import random
import re
import select
import signal
import subprocess
import time
import unittest

import agent_runs
import dotnet

WALK = agent_runs.BUILD / "bin" / "dotnet_walk"
FEW, MANY = 200, 2000  # stacks
DEADLINE = 30  # seconds, for what takes milliseconds
LIBC = re.compile(r".*/libc\.so\.6\+0x[0-9a-f]+")
INLINED = "[InlinedCallFrame]"
# The runtime's data access library, which ClrMD loads for each stop anew, hangs or crashes after some hundred of them.
CLRMD_STOPS = 50


def plain_name(signature):
    """ClrMD's "Type[[Argument, assembly]].Method[[Other, assembly]](parameters)" as our --dotnet-raw-names has it."""
    depth = 0
    for at in range(len(signature) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(signature[at], 0)
        if depth == 0:
            break
    name = signature[:at] if signature.endswith(")") else signature
    while "[" in name:
        # The innermost brackets first: without the assembly, then without the brackets around the list.
        shorter = re.sub(r"\[([^\[\]]*), [^\[\],]+\]", r"\1", name)
        if shorter == name:
            shorter = re.sub(r"\[([^\[\]]*)\]", r"⟦\1⟧", name)
        if shorter == name:
            break
        name = shorter
    name = name.replace("⟦", "[").replace("⟧", "]")
    # The runtime's own records have the latter for both.
    return re.sub(r"^(DynamicClass|ILStubClass)\.", "dynamicClass.", name)


def starts_thread(listed):
    return any(name.startswith("System.Threading.Thread.StartCore(") for _, _, name in listed)


def has_method(name):
    return name != "?" and not name.startswith("[")


class Reader:
    """A program that prints stacks of another one for each line of input."""

    def __init__(self, command):
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def ask(self):
        """{thread's id: the fields behind it}"""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], DEADLINE)[0]:
            raise AssertionError(f"{self.process.args} does not answer")
        threads = {}
        while (line := self.process.stdout.readline()) not in ("\n", ""):
            tid, *fields = line.rstrip("\n").split("\t")
            threads[int(tid)] = fields
        if line == "":
            raise AssertionError(f"{self.process.args} ended: {self.process.stderr.read()}")
        return threads

    def close(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


class Target:
    """A program that is stopped now and then."""

    def __init__(self, command):
        self.process = subprocess.Popen([*command, "10000"], stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "ready\n"

    def cpu(self):
        return time.clock_gettime_ns(~self.pid << 3 | 2)  # CPUCLOCK_SCHED of all its threads

    def run_for(self, nanoseconds):
        """Lets it use so much CPU."""
        os.kill(self.pid, signal.SIGCONT)
        until, deadline = self.cpu() + nanoseconds, time.monotonic() + DEADLINE
        while self.cpu() < until:
            assert time.monotonic() < deadline, "it does not run"
            os.sched_yield()

    def stop(self):
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + DEADLINE
        while set(self.states()) != {"T"}:
            assert time.monotonic() < deadline, "it does not stop"
            os.sched_yield()

    def states(self):
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{tid}/stat") as stat:
                    yield stat.read().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended

    def close(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


class Oracle(unittest.TestCase):
    def setUp(self):
        self.stacks = self.frames = self.inlined = self.empty = self.cloning = self.natives = 0
        self.names, self.wrong = set(), []

    def check(self, form, version, stacks):
        if not WALK.exists():
            self.skipTest(f"no {WALK}")
        clrmd = dotnet.build("Oracle", "framework_dependent", "10")
        chance = random.Random(version)
        for program in ("Chains", "Shares"):
            wanted = self.stacks + stacks // 2
            target = Target(dotnet.build(program, form, version))
            self.addCleanup(target.close)
            target.run_for(500_000_000)
            walk = Reader([WALK, target.pid])
            self.addCleanup(walk.close)
            while self.stacks < wanted and len(self.wrong) < 20:
                oracle = Reader([*clrmd, target.pid])
                self.addCleanup(oracle.close)
                for _ in range(CLRMD_STOPS):
                    target.run_for(chance.randrange(500_000, 6_000_000))
                    target.stop()
                    self.compare(program, walk.ask(), oracle.ask())
                oracle.close()
            walk.close()
            target.close()
        print(f"{form}, .NET {version}: {self.stacks} stacks with {self.frames} methods ({len(self.names)} different) "
              f"compared, {len(self.wrong)} stacks differ; {self.inlined} methods at an InlinedCallFrame's label, "
              f"{self.empty} stacks that ClrMD does not have, {self.cloning} in clone3, {self.natives} of native code only")
        for text in self.wrong[:10]:
            print(f"  {text}")
        self.assertFalse(self.wrong)
        self.assertGreaterEqual(self.stacks, stacks)
        # Else the exceptions were the rule.
        self.assertLess(self.empty, self.stacks / 4)
        self.assertLess(self.cloning, self.stacks / 200 + 2)

    def compare(self, program, ours, theirs):
        """All threads of one stop."""
        for tid in set(ours) | set(theirs):
            end, pc, *fields = ours.get(tid, ["none", "0"])
            mine = [(int(ip, 16), name) for ip, name in (field.split(",", 1) for field in fields)]
            is_helper = bool(mine) and mine[0][0] != int(pc, 16)
            listed = [field.split(",", 2) for field in theirs.get(tid, [])]
            if not mine and not any(has_method(name) for _, _, name in listed):
                self.natives += 1
            elif is_helper and end == "root" and not any(has_method(name) for _, _, name in listed):
                self.empty += 1
            elif not mine and LIBC.fullmatch(end) and starts_thread(listed):
                self.cloning += 1
            elif why := self.why_wrong(end, mine, listed):
                self.wrong.append(f"{program}, thread {tid}: {why}; ours {mine} ({end}), ClrMD's {listed}")
            else:
                self.stacks += 1
                self.frames += len(mine)
                self.names |= {name for _, name in mine}

    def why_wrong(self, end, mine, listed):
        if end != "root":
            return "lost"
        # (instruction pointer, name, whether it was taken from an InlinedCallFrame)
        methods = [(int(ip, 16), plain_name(name), at > 0 and listed[at - 1][2] == INLINED)
                   for at, (ip, _, name) in enumerate(listed) if not name.startswith("[")]
        if len(methods) != len(mine):
            return f"{len(mine)} methods, ClrMD has {len(methods)}"
        labels = 0
        for (ip, name), (their_ip, their_name, from_frame) in zip(mine, methods):
            if name != their_name:
                return f"{name} is {their_name}"
            if ip != their_ip and not from_frame:
                return f"{name} at {ip:x} is at {their_ip:x}"
            labels += ip != their_ip
        self.inlined += labels
        return None

    def test_10_framework_dependent(self):
        self.check("framework_dependent", "10", FEW)

    def test_10_many(self):
        self.check("framework_dependent", "10", MANY)

    def test_9_many(self):
        self.check("self_contained", "9", MANY)

    def test_8_many(self):
        self.check("self_contained", "8", MANY)


class PlainName(unittest.TestCase):
    def test_signatures(self):
        for signature, name in (
            ("Busy.Chain.D[[System.__Canon, System.Private.CoreLib]](Int64)", "Busy.Chain.D[System.__Canon]"),
            ("A`2[[System.Int32, P],[B`1[[C, q]], p]].M()", "A`2[System.Int32,B`1[C]].M"),
            ("A.M(System.Func`2<Int32,Int32>(Int32))", "A.M"),
            ("DynamicClass.Forward(Int64)", "dynamicClass.Forward"),
        ):
            self.assertEqual(plain_name(signature), name)


if __name__ == "__main__":
    unittest.main()
