# SPDX-License-Identifier: Apache-2.0
"""Timed and paired figures. usage: run.py AGENT BUILD [python|native|dotnet|delivery|page|container [REPEATS]]

Prints, never judges: these are for people to read and to compare on a quiet machine.
"""

import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "support"))
os.environ.setdefault("AGENT_BINARY", sys.argv[1])
os.environ.setdefault("AGENT_BUILD", sys.argv[2])
import agent_runs  # noqa: E402
import container  # noqa: E402
import delivery  # noqa: E402
import dotnet_bench  # noqa: E402
import launching  # noqa: E402
import native  # noqa: E402
import python_peers  # noqa: E402

AGENT, BUILD = sys.argv[1], pathlib.Path(sys.argv[2])
PART = sys.argv[3] if len(sys.argv) > 3 else None
REPEATS = int(sys.argv[4]) if len(sys.argv) > 4 else 8
PROGRAMS = agent_runs.PROGRAMS


def timed(command):
    """(wall seconds, user+system seconds of all that was waited for)"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def slowdown(python, path):
    """The same work with and without the agent, A B B A, so that drift of the machine cancels out."""
    plain = [python, str(PROGRAMS / "fixed_work.py"), "40"]
    ours = [AGENT, "exec", "-o", path, *plain]
    timed(plain), timed(ours)
    ratios, costs, noise = [], [], []
    for _ in range(REPEATS):
        a1, b1, b2, a2 = timed(plain), timed(ours), timed(ours), timed(plain)
        ratios.append((b1[0] + b2[0]) / (a1[0] + a2[0]))
        noise.append(a2[0] / a1[0])
        costs.append((b1[1] + b2[1] - a1[1] - a2[1]) / (b1[0] + b2[0]))
    print(f"fixed work, 100 Hz, {REPEATS} times A B B A, wall time of one run {a1[0]:.2f} s:")
    print(f"  with / without the agent: median {statistics.median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f})")
    print(f"  without / without:        median {statistics.median(noise):.4f} ({min(noise):.4f} to {max(noise):.4f})")
    print(f"  CPU more than without, part of one core: median {statistics.median(costs):.2%}")


def own_cost(python, rate, path):
    """CPU and memory of the sampler, as the kernel has them while it runs, beside a bare sleep loop's."""
    agent = subprocess.Popen([AGENT, "exec", "-o", path, "--sample-rate", str(rate), python, str(PROGRAMS / "spin.py"), "6"],
                             stdout=subprocess.PIPE, text=True)
    agent.stdout.readline()
    sampler = launching.children_of(agent.pid)[0]
    part = launching.own_share(sampler, 4)
    status = dict(line.split(":\t") for line in pathlib.Path(f"/proc/{sampler}/status").read_text().splitlines() if ":\t" in line)
    keeper = launching.cpu_time(agent.pid)
    agent.communicate()
    nap = subprocess.run([str(BUILD / "bin" / "bare_wakeups"), str(rate), "2"], capture_output=True, text=True, check=True)
    bare = float(nap.stdout)
    print(f"{rate} Hz: sampler {part:.2%} of a core ({part / rate * 1e6:.1f} us a tick; a bare wake-up {bare / rate * 1e6:.1f} us), "
          f"memory {status['VmHWM'].strip()}, keeper {keeper * 1000:.1f} ms of CPU in all")


def first_sample(python):
    """From letting the program go to the first sample, at the default rate."""
    delays = []
    for _ in range(10):
        run = agent_runs.Run([python, "-c", "sum(range(10**6))"], ["--log-level", "info"])
        delays.append(int(re.search(r"first sample was taken (\d+) us", run.stderr)[1]) / 1000)
    print(f"first sample after the start, 100 Hz: median {statistics.median(delays):.1f} ms, longest {max(delays):.1f} ms")


def python_part(folder):
    python = agent_runs.any_interpreter()
    print(f"interpreter {python}, agent {AGENT}")
    path = f"{folder}/bench.pb.gz"
    slowdown(python, path)
    first_sample(python)
    for rate in (100, 1000, 10000):
        own_cost(python, rate, path)
    run = agent_runs.Run([python, str(PROGRAMS / "spin.py"), "4"],
                         ["--pyspy-blocking", "--sample-rate", "1000", "--log-level", "info"])
    print("every thread stopped (--pyspy-blocking, 1000 Hz):",
          next(line for line in run.stderr.splitlines() if "were stopped" in line).removeprefix("agent: "))
    print("  longest gap that the program saw:", json.loads(run.stdout.splitlines()[-1])["longest_gap"])
    target = subprocess.Popen([python, str(PROGRAMS / "shares.py"), "20"], stdout=subprocess.PIPE, text=True)
    target.stdout.readline()
    subprocess.run([str(BUILD / "bin" / "bench_stack_read"), str(target.pid)], check=True)
    target.kill()
    target.communicate()
    python_peers.main(min(REPEATS, 3))


def page_part(folder):
    pages = [pathlib.Path(folder) / f"{kind}.html" for kind in ("large", "hour")]
    for page in pages:
        subprocess.run([BUILD / "bin" / "page_probe", page.stem, page], check=True)
        print(f"{page.name}: {page.stat().st_size / 1e6:.2f} MB")
    # Says itself why it is skipped.
    subprocess.run([sys.executable, HERE.parent / "browser" / "run.py", "measure.js", *pages], check=False)


def main():
    with tempfile.TemporaryDirectory() as folder:
        if PART in (None, "python"):
            python_part(folder)
        if PART in (None, "delivery"):
            delivery.main(BUILD, agent_runs.any_interpreter(), REPEATS)
        if PART in (None, "native"):
            native.main(folder, REPEATS)
        if PART in (None, "dotnet"):
            dotnet_bench.main(folder, int(sys.argv[4]) if len(sys.argv) > 4 else 7)
        if PART in (None, "page"):
            page_part(folder)
        if PART == "container":  # needs images, which ./dev makes for it
            container.run()


main()
