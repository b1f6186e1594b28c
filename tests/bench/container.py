# SPDX-License-Identifier: Apache-2.0
"""The agent in a container: what it adds to the start, when it takes its first sample, what it costs under a small limit."""

import datetime
import pathlib
import re
import statistics
import time

import container_images
import launching
import podman
import receiver

REPEATS = 8
SMALL = ["--cpus", "0.2", "-m", "128m"]
SECONDS = 20


def _ready_after(container):
    """Seconds from the container's start to the program's first line, by the runtime's own clock readings."""
    container.wait_for("ready")
    log = pathlib.Path(container.inspect(".HostConfig.LogConfig.Path")).read_text()
    stamp = next(line.split(" ", 1)[0] for line in log.splitlines() if line.endswith(" ready"))
    started = container.inspect(".State.StartedAt.UnixNano")
    # Nanoseconds, which datetime does not take.
    moment, fraction, zone = re.match(r"(.*)\.(\d+)(.*)", stamp).groups()
    whole = datetime.datetime.fromisoformat(moment + zone.replace("Z", "+00:00")).timestamp()
    return whole + float(f"0.{fraction}") - int(started) / 1e9


def start(name, image, program, flags, server):
    """With and without the agent in turns."""
    environment = ["-e", f"PYROSCOPE_SERVER_ADDRESS={server.address}", "-e", "PYROSCOPE_LOG_LEVEL=info"]
    times, first = {"with": [], "without": []}, []
    for _ in range(REPEATS):
        for kind in ("without", "with", "with", "without"):
            command = ["--entrypoint", f'["{program[0]}"{"".join(f", {chr(34)}{word}{chr(34)}" for word in program[1:])}]']
            with podman.Container(image, flags=[*flags, *environment, *(command if kind == "without" else [])]) as container:
                times[kind].append(_ready_after(container))
                container.stop()
                if found := re.search(r"first sample was taken (\d+) us", container.output()[1]):
                    first.append(int(found[1]) / 1000)
    plain, ours = (statistics.median(times[kind]) * 1000 for kind in ("without", "with"))
    print(f"{name}: container start to the program's first line {plain:.0f} ms, with the agent {ours:.0f} ms "
          f"({ours - plain:+.0f} ms; medians of {2 * REPEATS}); first sample {statistics.median(first):.0f} ms "
          f"after the program was let go ({min(first):.0f} to {max(first):.0f})")


def cost(name, image, server):
    """CPU and memory of all processes of the agent's, over a time of full load below the limit."""
    environment = ["-e", f"PYROSCOPE_SERVER_ADDRESS={server.address}"]
    with podman.Container(image, flags=[*SMALL, *environment]) as container:
        container.wait_for("ready")
        keeper = int(container.inspect(".State.Pid"))
        (sampler,) = launching.children_of(keeper)
        launcher = launching.children_of(sampler)[0]
        begin_all = {pid: launching.cpu_time(pid) for pid in (keeper, sampler, launcher)}
        target = launching.children_of(launcher)[0]
        program, begin = launching.cpu_time(target), time.monotonic()
        time.sleep(SECONDS)
        wall = time.monotonic() - begin
        used = sum(launching.cpu_time(pid) - before for pid, before in begin_all.items())
        program = launching.cpu_time(target) - program
        status = pathlib.Path(f"/proc/{sampler}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
        anonymous = int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024
        print(f"{name} at 0.2 CPU and 128 MiB, {wall:.0f} s: agent {used / wall:.2%} of a core, {used / (used + program):.1%} of what "
              f"the container used; since the start {launching.cpu_time(sampler):.2f} s; memory peak {peak:.1f} MiB, "
              f"{anonymous:.1f} MiB of it anonymous")


def run():
    podman.need()
    python = container_images.python("bookworm")
    static = container_images.native("static")
    with receiver.Receiver() as server:
        for name, image, program in (("Python", python, ["python", "/srv/service.py"]), ("static C++", static, ["/srv/service"])):
            start(name, image, program, [], server)
            start(f"{name}, 0.2 CPU", image, program, SMALL, server)
            cost(name, image, server)
