# SPDX-License-Identifier: Apache-2.0
""".NET: what sampling costs a web service and a program that knows its own truth, and how true it is, beside dotnet-trace."""

import json
import math
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import time
import unittest

import agent_runs
import dotnet
import launching
import pprof
import web_service

AGENT = agent_runs.AGENT
SECONDS = 5
WARM_UP = 2  # until the handlers are compiled for good
CONNECTIONS = 8
RATES = (100, 1000)


def spread(values):
    return f"{statistics.median(values):8.4f} {f'({min(values):.4f} to {max(values):.4f})':>22}"


class Profiler:
    """None of them, ours at a rate, or dotnet-trace with what it collects by default."""

    def __init__(self, name, folder, rate=None, tool=None):
        self.name, self.rate, self.tool = name, rate, tool
        self.file = f"{folder}/agent.pb.gz" if rate else f"{folder}/trace.nettrace"

    def before(self):
        """The words before the command of a program that it starts."""
        if self.rate:
            return [AGENT, "exec", "--sample-rate", str(self.rate), "-o", self.file]
        if self.tool:
            return [self.tool, "collect", "--format", "NetTrace", "-o", self.file, "--show-child-io", "--"]
        return []


def profilers(folder):
    found = [Profiler(f"agent, {rate} Hz", folder, rate=rate) for rate in RATES]
    try:
        found.append(Profiler("dotnet-trace", folder, tool=dotnet.trace_tool()))
    except unittest.SkipTest as reason:
        print(f"SKIP dotnet-trace: {reason}")
    return found


# --- The web service --------------------------------------------------------------------------------------------------


class Collector:
    """dotnet-trace on a process that runs; nothing for the other profilers."""

    def __init__(self, profiler, pid):
        self.popen = None
        if not profiler.tool:
            return
        file = pathlib.Path(profiler.file)
        file.unlink(missing_ok=True)
        self.popen = subprocess.Popen([profiler.tool, "collect", "-p", str(pid), "--format", "NetTrace", "-o", str(file)],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        launching.wait_until(lambda: file.exists() and file.stat().st_size > 0, "dotnet-trace to begin")

    def end(self):
        if self.popen:
            self.popen.send_signal(signal.SIGINT)
            self.popen.wait(60)


def service_run(start, profiler):
    """One run under load: replies a second, collections a second, the profiler's CPU as part of a core, and by sample."""
    service = web_service.WebService(start, profiler.before() if profiler.rate else [])
    try:
        own = [service.popen.pid, launching.children_of(service.popen.pid)[0]] if profiler.rate else []
        service.load(WARM_UP, CONNECTIONS)
        collector = Collector(profiler, service.popen.pid)
        own += [collector.popen.pid] if collector.popen else []
        before, used = service.get("/status"), sum(map(launching.cpu_time, own))
        load = service.load(SECONDS, CONNECTIONS)
        in_all = sum(map(launching.cpu_time, own))
        after = service.get("/status")
        collector.end()
        service.end()
    finally:
        service.kill()
    collections = (after["collections"][0] - before["collections"][0]) * 1000 / (after["milliseconds"] - before["milliseconds"])
    of_sample = in_all / max(1, pprof.read(profiler.file).total("samples")) if profiler.rate else math.nan
    if any(load["failed"].values()):
        print(f"  {profiler.name}: not all requests were answered: {load['failed']}")
    return load["replies"] / load["seconds"], collections, (in_all - used) / load["seconds"], of_sample


def web(folder, repeats):
    start = web_service.command()
    print(f"web service, {CONNECTIONS} connections of wrk, {repeats} pairs of {SECONDS} s; replies a second with / without, the "
          "profiler's own CPU as part of a core, and by sample (its start and all)")
    print(f"  {'':14} {'replies':>8} {'(lowest to highest)':>22} {'CPU':>8} {'us a sample':>12} {'collections a second, with and without':>40}")
    alone = Profiler("alone", folder)
    for profiler in profilers(folder):
        ratios, rows, plain_rows = [], [], []
        for turn in range(repeats):
            pair = {p.name: service_run(start, p) for p in ((alone, profiler) if turn % 2 == 0 else (profiler, alone))}
            rows.append(pair[profiler.name])
            plain_rows.append(pair[alone.name])
            ratios.append(rows[-1][0] / plain_rows[-1][0])
        collections, cpu, of_sample = (statistics.median(row[i] for row in rows) for i in (1, 2, 3))
        plain = statistics.median(row[1] for row in plain_rows)
        told = "" if math.isnan(of_sample) else f"{of_sample * 1e6:.0f}"
        print(f"  {profiler.name:14} {spread(ratios)} {cpu:8.2%} {told:>12} {f'{collections:.0f} and {plain:.0f}':>40}")


# --- Shares -----------------------------------------------------------------------------------------------------------


class SharesRun:
    """One run of Shares: its own truth, and CPU seconds of all processes that is not the program's."""

    def __init__(self, program, profiler):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run([*profiler.before(), *program, str(SECONDS)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = [line for line in run.stdout.splitlines() if line.startswith('{"functions"')]
        if run.returncode != 0 or not lines:
            raise RuntimeError(f"{profiler.name}: status {run.returncode}, {run.stderr[-300:]}")
        self.truth = json.loads(lines[0])
        self.beside = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - self.truth["process"] / 1e9

    def speed_beside(self, plain, by_cpu):
        """Work of this run by that of another, the mean over all methods: in the same CPU time, or in the same time."""
        logs = []
        for name, turns in self.truth["turns"].items():
            ratio = turns / plain.truth["turns"][name]
            if by_cpu:
                ratio *= plain.truth["functions"][name] / self.truth["functions"][name]
            logs.append(math.log(ratio))
        return math.exp(statistics.mean(logs))


def plain_name(name):
    """One name for a method in both profilers, and in the program's truth: no arguments, generic or not."""
    name = re.sub(r"\(.*\)$", "", name.partition("!")[2]) if "!" in name else name
    name = re.sub(r"^(.*?)\+<>c.*\.<(\w+)>b__.*$", r"\1.\2 (lambda)", name)
    return re.sub(r"<.*>", "", name)


def add_up(stacks):
    """(shares with all that is called, shares of the innermost frame alone), of [(time, names with the innermost first)]"""
    total, inclusive, alone = 0, {}, {}
    for spent, names in stacks:
        total += spent
        alone[names[0]] = alone.get(names[0], 0) + spent
        for name in set(names):
            inclusive[name] = inclusive.get(name, 0) + spent
    return ({name: spent / total for name, spent in sums.items()} for sums in (inclusive, alone))


def agent_stacks(profiler):
    for sample in pprof.read(profiler.file).samples:
        yield sample["values"]["cpu"], [plain_name(frame[0]) for frame in sample["stack"]]


def trace_stacks(profiler):
    """Of the program's busy thread, which has the most events; frames without a "!" are dotnet-trace's own marks."""
    subprocess.run([profiler.tool, "convert", "--format", "speedscope", "-o", profiler.file.removesuffix(".nettrace"), profiler.file],
                   check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    with open(profiler.file.replace(".nettrace", ".speedscope.json"), encoding="utf-8") as file:
        scope = json.load(file)
    names = [frame["name"] for frame in scope["shared"]["frames"]]
    stack, last = [], None
    for event in max(scope["profiles"], key=lambda thread: len(thread["events"]))["events"]:
        managed = [plain_name(name) for name in reversed(stack) if "!" in name]
        if managed and event["at"] > last:
            yield event["at"] - last, managed
        last = event["at"]
        if event["type"] == "O":
            stack.append(names[event["frame"]])
        else:
            stack.pop()


def shares_table(profiler, truth):
    inclusive, alone = add_up((trace_stacks if profiler.tool else agent_stacks)(profiler))
    true = {}
    # dotnet-trace's own thread is one of the program's, and its stacks here are those of the thread that works.
    whole = sum(truth["functions"].values()) if profiler.tool else truth["process"]
    for name, spent in truth["functions"].items():
        true[plain_name(name)] = true.get(plain_name(name), 0) + spent / whole
    print(f"  {profiler.name + ', shares of the last run':48} {'true':>8} {'sampled':>8} {'self':>8}")
    for name, share in true.items():
        print(f"    {name:46} {share:8.2%} {inclusive.get(name, 0):8.2%} {alone.get(name, 0):8.2%}")
    wrong = max(abs(inclusive.get(name, 0) - share) for name, share in true.items())
    print(f"    {'furthest from the truth, points':46} {'':8} {wrong * 100:8.2f}")
    print("    most self time: " + ", ".join(f"{name} {share:.1%}" for name, share in sorted(alone.items(), key=lambda item: -item[1])[:4]))


def shares(folder, repeats):
    program = dotnet.build("Shares", "framework_dependent")
    alone = Profiler("alone", folder)
    rows, tables = [], []
    for profiler in profilers(folder):
        by_cpu, by_time, costs, of_sample = [], [], [], []
        for turn in range(repeats):
            pair = {p.name: SharesRun(program, p) for p in ((alone, profiler) if turn % 2 == 0 else (profiler, alone))}
            plain, ours = pair[alone.name], pair[profiler.name]
            by_cpu.append(ours.speed_beside(plain, True))
            by_time.append(ours.speed_beside(plain, False))
            # What the runtime does after the program's last look at its clock is in both.
            costs.append((ours.beside - plain.beside) / SECONDS)
            if profiler.rate:
                of_sample.append((ours.beside - plain.beside) / pprof.read(profiler.file).total("samples"))
        told = f"{statistics.median(of_sample) * 1e6:.0f}" if of_sample else ""
        rows.append(f"  {profiler.name:14} {spread(by_time)} {spread(by_cpu)} {statistics.median(costs):8.2%} {told:>12}")
        shares_table(profiler, ours.truth)
    print(f"Shares, {repeats} pairs of {SECONDS} s; the program's work with / without, in the same time and in the same CPU time of its "
          "thread; the profiler's own CPU, and by sample (its start and end and all)")
    print(f"  {'':14} {'in time':>8} {'(lowest to highest)':>22} {'in CPU':>8} {'(lowest to highest)':>22} {'CPU':>8} {'us a sample':>12}")
    print("\n".join(rows))


# --- The start --------------------------------------------------------------------------------------------------------


def first_names(folder, repeats):
    """When the agent says that it reads the runtime: what it samples from then on has names."""
    program = [*dotnet.build("Shares", "framework_dependent"), "0.5"]
    for rate in RATES:
        main, named, first = [], [], []
        for _ in range(max(5, repeats)):
            begin = time.monotonic()
            with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as plain:
                plain.stdout.readline()
                main.append(time.monotonic() - begin)
            begin = time.monotonic()
            profiler = Profiler("agent", folder, rate=rate)
            with subprocess.Popen([*profiler.before(), "--log-level", "info", *program],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as agent:
                for line in agent.stderr:
                    if re.search(r"process \d+ \(.*\) runs \.NET", line):
                        named.append(time.monotonic() - begin)
                    elif found := re.search(r"first sample was taken (\d+) us", line):
                        first.append(int(found[1]) / 1e6)
        print(f"start, {rate} Hz: first sample after {statistics.median(first) * 1e3:.0f} ms, managed frames have names after "
              f"{statistics.median(named) * 1e3:.0f} ms ({min(named) * 1e3:.0f} to {max(named) * 1e3:.0f}); Main begins, without the "
              f"agent, after {statistics.median(main) * 1e3:.0f} ms")


def main(folder, repeats):
    for part in (lambda: web(folder, repeats), lambda: shares(folder, repeats), lambda: first_names(folder, repeats)):
        try:
            part()
        except unittest.SkipTest as reason:
            print(f"SKIP .NET: {reason}")
