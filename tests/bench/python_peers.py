# SPDX-License-Identifier: Apache-2.0
"""The agent beside Austin (on CPython 3.13) and CPython 3.15's own profiling.sampling, on the same interpreter and programs."""

import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile

import agent_runs
import pprof

SECONDS = 4
BRIEF = "1.3"  # new threads are looked at more often for a second
RATES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
FORMS = [(10, 1, 1), (60, 1, 1), (200, 1, 1), (60, 2, 2), (60, 20, 2), (60, 200, 2)]  # depth, threads, busy ones


class Agent:
    name = "agent"

    def __init__(self, folder):
        self.file = f"{folder}/agent.pb.gz"

    def command(self, interpreter, rate, arguments):
        return [agent_runs.AGENT, "exec", "--sample-rate", str(rate), "-o", self.file, *interpreter.command(*arguments)]

    def stacks(self):
        """(names from the root on, samples) of each stack."""
        for sample in pprof.read(self.file).samples:
            yield [frame[0] for frame in reversed(sample["stack"])], sample["values"]["samples"]


class Collapsed:
    """One that writes collapsed stacks, into the root's /tmp; lines and files of frames are left out."""

    def __init__(self, root):
        self.file = root / "tmp" / "stacks"

    def stacks(self):
        for line in self.file.read_text(errors="replace").splitlines():
            stack, _, value = line.rpartition(" ")
            if value.isdigit() and not line.startswith("#"):
                yield re.findall(r"\b(?:left|right)_\d+\b|\bbottom\b|\bbusy\b|\bsleeper\b", stack), self.samples_of(int(value))


class Austin(Collapsed):
    name = "Austin"

    def command(self, interpreter, rate, arguments):
        return interpreter.in_root("austin", "-i", f"{1_000_000 // rate}us", "-o", "/tmp/stacks", interpreter.path,
                                   f"/mnt/{arguments[0]}", *arguments[1:])

    def samples_of(self, microseconds):
        return 1  # each line is one; its value is the time since the one before


class Tachyon(Collapsed):
    name = "profiling.sampling"

    def command(self, interpreter, rate, arguments):
        return interpreter.in_root(interpreter.path, "-m", "profiling.sampling", "run", "-a", "-r", str(rate), "--collapsed",
                                   "-o", "/tmp/stacks", f"/mnt/{arguments[0]}", *arguments[1:])

    def samples_of(self, count):
        return count


def run(command, profiler=None):
    """What the program says of itself; cost, CPU seconds of all others; samples of busy threads and impossible ones of them."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = [line for line in done.stdout.splitlines() if line.startswith('{"work"')]
    if not told:
        raise RuntimeError(f"status {done.returncode}: {(done.stderr or done.stdout).strip()[-200:]}")
    result = json.loads(told[-1])
    result["speed"] = result["work"] / result["seconds"]
    result["cost"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - result["cpu"]
    result["samples"] = result["impossible"] = 0
    for names, count in profiler.stacks() if profiler else ():
        if "busy" not in names and not any(name.startswith(("left_", "right_")) for name in names):
            continue
        result["samples"] += count
        result["impossible"] += 0 if is_possible(names) else count
    return result


def is_possible(names):
    """depths.py's: below busy() one of the chains, from its start on, and bottom() under its last function only."""
    if "busy" not in names:
        return False
    chain = names[names.index("busy") + 1:]
    if chain and chain[-1] == "bottom":
        chain = chain[:-1]
    side = chain[0].partition("_")[0] if chain else ""
    return chain == [f"{side}_{i}" for i in range(len(chain))]


def beside(peer, interpreter, folder, repeats):
    ours = Agent(folder)
    print(f"\n{ours.name} and {peer.name} on {interpreter}, {repeats} times {SECONDS} s, in turns")
    print(f"  {'':20} {'depth':>5} {'threads':>7} {'busy':>4} {'Hz':>9} {'samples/s':>9} {'of asked':>8} {'us CPU/sample':>13} {'speed':>6} {'impossible':>20}")
    costs = {}
    for depth, threads, running in FORMS:
        arguments = ("depths.py", str(SECONDS), str(depth), str(threads), str(running))
        for rate in (100, 1000):
            costs[depth, threads, rate] = compare((ours, peer), interpreter, rate, arguments, repeats)
    for depth in (10, 200):
        for rate in RATES:
            compare((ours, peer), interpreter, rate, ("depths.py", str(SECONDS), str(depth), "1", "1"), 1)
    print_multiples(costs)
    print_shares((ours, peer), interpreter)


def print_multiples(costs):
    """What the issue compares: with a wake-up that does nothing, and 200 threads with 2, of which 2 are busy."""
    nap = subprocess.run([str(agent_runs.BUILD / "bin" / "bare_wakeups"), "1000", "2"], capture_output=True, text=True, check=True)
    bare = float(nap.stdout) * 1000  # us a wake-up, of a core's share at 1 kHz
    for name, cost in costs[60, 1, 1000].items():
        print(f"  {name}: at 1 kHz {cost:.1f} us a sample, {cost / bare:.2f} times a bare wake-up ({bare:.1f} us)")
    for name, few in costs[60, 2, 1000].items():
        if name in costs[60, 200, 1000]:
            print(f"  {name}: of 200 threads a sample costs {costs[60, 200, 1000][name] / few:.2f} times that of 2")


def print_shares(profilers, interpreter):
    """Code that calls all the time beside code that does not, at 1 kHz."""
    for profiler in profilers:
        told = run(profiler.command(interpreter, 1000, ("depths.py", str(SECONDS), "60", "1", "1", "share")))
        in_busy = [(names, count) for names, count in profiler.stacks() if "busy" in names]
        share = sum(count for names, count in in_busy if names[-1] == "bottom") / sum(count for _, count in in_busy)
        print(f"  {profiler.name}: bottom() has {share:.1%} of its time, by the program's own measure {told['bottom']:.1%}")


def compare(profilers, interpreter, rate, arguments, repeats):
    """One row for each profiler; it and no profiler take turns. {name: microseconds of CPU a sample}

    What a profiler takes for its start and end is left out of its costs: what a brief run takes."""
    program, _, *form = arguments
    results = {profiler: [] for profiler in profilers}
    for _ in range(repeats):
        for profiler, ones in results.items():
            try:
                plain = run(interpreter.command(*arguments))
                one = run(profiler.command(interpreter, rate, arguments), profiler)
                brief = run(profiler.command(interpreter, rate, (program, BRIEF, *form)), profiler)
                one["us"] = (one["cost"] - brief["cost"]) / max(1, one["samples"] - brief["samples"]) * 1e6
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                print(f"  {profiler.name:20} at {rate} Hz: does not run here: {error}")
                continue
            ones.append(dict(one, speed=one["speed"] / plain["speed"]))
    return {profiler.name: print_row(profiler.name, rate, arguments, ones) for profiler, ones in results.items() if ones}


def print_row(name, rate, arguments, ones):
    _, _, depth, threads, running = arguments
    samples, microseconds = sum(one["samples"] for one in ones), statistics.median(one["us"] for one in ones)
    a_second = samples / sum(one["seconds"] for one in ones)
    impossible = sum(one["impossible"] for one in ones)
    print(f"  {name:20} {depth:>5} {threads:>7} {running:>4} {rate:9} {a_second:9.0f} {a_second / rate:8.1%} "
          f"{microseconds:13.1f} {statistics.median(one['speed'] for one in ones):6.3f} "
          f"{f'{impossible} ({impossible / max(samples, 1):.4%})':>20}", flush=True)
    return microseconds


def main(repeats):
    found = False
    for name, suite, peer in (("3.13", "trixie", Austin), ("3.15", "sid", Tachyon)):
        root = agent_runs.CACHE / "roots" / f"python-{suite}"
        wanted = root / ("usr/bin/austin" if peer is Austin else f"usr/lib/python{name}/profiling/sampling/__main__.py")
        if os.geteuid() != 0:
            print(f"SKIP {peer.name}: roots are entered as root only")
        elif not (root / "complete").exists():
            print(f"SKIP {peer.name}: no {root} (./dev test-roots makes it)")
        elif not wanted.exists():
            print(f"SKIP {peer.name}: {suite} has no {wanted.relative_to(root)}")
        else:
            with tempfile.TemporaryDirectory() as folder:
                beside(peer(root), agent_runs.Interpreter(name, f"/usr/bin/python{name}", root), folder, repeats)
