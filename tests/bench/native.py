# SPDX-License-Identifier: Apache-2.0
"""Machine code: what sampling costs the program and the machine, beside perf and samply, and over many threads."""

import json
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import time

import agent_runs
import launching

AGENT = agent_runs.AGENT
BUSY = str(agent_runs.BUILD / "bin" / "busy_threads")
SECONDS = 5


def samply():
    """The command of samply: installed, or in one of the roots of `./dev test-roots`, whose C library it needs."""
    if shutil.which("samply"):
        return ["samply"]
    for program in sorted(agent_runs.CACHE.glob("roots/*/usr/bin/samply")):
        root = program.parents[2]
        return [str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path", f"{root}/usr/lib/x86_64-linux-gnu", str(program)]
    return None


def profilers(folder):
    """{name: the words before a program's own, given a rate}; those that are not here are said and left out."""
    found = {"agent": lambda rate: [AGENT, "exec", "--sample-rate", str(rate), "-o", f"{folder}/agent.pb.gz"]}
    if shutil.which("perf"):
        found["perf, DWARF"] = lambda rate: ["perf", "record", "-q", "-F", str(rate), "--call-graph", "dwarf", "-o", f"{folder}/perf.data"]
    else:
        print("SKIP perf: not installed (Debian: linux-perf)")
    command = samply()
    paranoid = pathlib.Path("/proc/sys/kernel/perf_event_paranoid")
    if command and paranoid.exists() and int(paranoid.read_text()) > 1:
        print(f"SKIP samply: {paranoid} is above 1, and it then refuses even root; write 1 into it")
    elif command:
        found["samply"] = lambda rate: [*command, "record", "--save-only", "-r", str(rate), "-o", f"{folder}/samply.json.gz", "--"]
    else:
        print("SKIP samply: not installed, and in no root (./dev test-roots makes one)")
    return found


def run(before, threads, busy):
    """(work a second, CPU seconds of the profiler a second)"""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([*before, BUSY, str(threads), str(busy), str(SECONDS)], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [line for line in result.stdout.splitlines() if line.startswith('{"work"')]
    if result.returncode != 0 or not lines:
        raise RuntimeError(f"{before}: status {result.returncode}, {result.stderr[-300:]}")
    told = json.loads(lines[-1])
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime - told["cpu"]
    return told["work"] / told["seconds"], cpu / told["seconds"]


def beside_peers(folder, repeats):
    """One busy thread, so that a profiler has a CPU of its own; plain and profiled runs take turns."""
    print(f"machine code, one busy thread 20 calls deep, {repeats} runs of {SECONDS} s; the program's speed with / without, and the profiler's own CPU")
    print(f"  {'':14} {'Hz':>5} {'speed':>8} {'(lowest to highest)':>22} {'CPU':>8}")
    for rate in (99, 999):
        for name, command in profilers(folder).items():
            ratios, costs = [], []
            try:
                for _ in range(repeats):
                    plain = run([], 1, 1)[0]
                    profiled, cost = run(command(rate), 1, 1)
                    ratios.append(profiled / plain)
                    costs.append(cost)
            except RuntimeError as error:
                print(f"  {name:14} {rate:5} does not run here: {error}")
                continue
            print(f"  {name:14} {rate:5} {statistics.median(ratios):8.4f} {f'({min(ratios):.4f} to {max(ratios):.4f})':>22} {statistics.median(costs):8.2%}")


def many_threads(folder, repeats):
    """Cost grows with the threads that run: the sampler's CPU over the last seconds, all threads known and cold by then."""
    for rate in (100, 1000):
        costs = {4: [], 1000: []}
        for _ in range(repeats):
            for threads, of_one in costs.items():
                of_one.append(sampler_cpu(folder, rate, threads, 4))
        few, many = statistics.median(costs[4]), statistics.median(costs[1000])
        print(f"{rate} Hz, 4 busy threads: sampler {few:.2%} of a core with 4 in all, {many:.2%} with 1,000 ({many / few:.2f} times)")


def sampler_cpu(folder, rate, threads, busy):
    agent = subprocess.Popen([AGENT, "exec", "--sample-rate", str(rate), "-o", f"{folder}/agent.pb.gz", BUSY, str(threads), str(busy), "8"],
                             stdout=subprocess.DEVNULL)
    time.sleep(4)  # What is new is hot for a second, and tables are compiled.
    part = launching.own_share(launching.children_of(agent.pid)[0], 3)
    agent.wait()
    return part


def fresh_stacks(folder):
    """Of a thread that never sleeps, one fresh stack a tick."""
    for rate in (1000, 10000):
        result = subprocess.run([AGENT, "exec", "--sample-rate", str(rate), "--summary", "-o", f"{folder}/agent.pb.gz", BUSY, "1", "1", str(SECONDS)],
                                capture_output=True, text=True)
        said = re.search(r"(\d+) samples", result.stderr)
        print(f"{rate} Hz, one thread that never sleeps: {said[1] if said else result.stderr} samples in {SECONDS} s, {rate * SECONDS} ticks")
        for line in result.stderr.splitlines():
            if "lost" in line or "late" in line:
                print(f"  {line}")


def tables():
    """Unwind tables of the largest libraries; the speed is of their .eh_frame."""
    libraries = {path.resolve() for path in pathlib.Path("/usr/lib").rglob("*.so*") if path.is_file()}
    largest = sorted(libraries, key=lambda path: path.stat().st_size)[-5:]
    subprocess.run([str(agent_runs.BUILD / "bin" / "bench_unwind_tables"), *map(str, largest)], check=True)


def names():
    """1,000 random addresses of a binary with debug information, as near to 100 MB as there is."""
    binaries = [path for path in agent_runs.BUILD.parent.glob("*/bin/*") if path.stat().st_size > 50e6]
    if not binaries:
        print("SKIP naming addresses of a large binary with debug information: ./dev test-full builds some")
        return
    binary = min(binaries, key=lambda path: abs(path.stat().st_size - 100e6))
    print(f"{binary.stat().st_size / 1e6:.0f} MB of ", end="", flush=True)
    subprocess.run([str(agent_runs.BUILD / "bin" / "bench_symbolize"), str(binary), "1000"], check=True)


def main(folder, repeats):
    tables()
    names()
    beside_peers(folder, repeats)
    many_threads(folder, max(1, repeats // 2))
    fresh_stacks(folder)
    subprocess.run([str(agent_runs.BUILD / "bin" / "bench_stops"), "3000"], check=True)
