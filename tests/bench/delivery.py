# SPDX-License-Identifier: Apache-2.0
"""What sending costs: the packing of a window, and whether the program feels a server that is dead or hangs."""

import statistics
import subprocess
import time

import receiver
from agent_runs import AGENT, PROGRAMS


def run(python, address):
    """Wall seconds of the program itself: fixed_work.py prints nothing, so that of the whole less the agent's own end."""
    command = [AGENT, "exec", "--no-logging", "--server-address", address, "--upload-interval", "1s", python, str(PROGRAMS / "fixed_work.py"), "40"]
    begin = time.monotonic()
    popen = subprocess.Popen(command, stdout=subprocess.PIPE)
    popen.stdout.read()  # ends with the program
    took = time.monotonic() - begin
    popen.wait()
    return took


def main(build, python, repeats):
    subprocess.run([str(build / "bin" / "bench_delivery")], check=True)
    subprocess.run([str(build / "bin" / "bench_delivery"), "500", "300"], check=True)
    with receiver.Receiver() as live, receiver.Receiver(fault="hang") as hung:
        dead = f"http://127.0.0.1:{receiver.free_port()}"
        for name, address in (("dead", dead), ("hung", hung.address)):
            ratios, noise = [], []
            for _ in range(repeats):
                a1, b1, b2, a2 = (run(python, where) for where in (live.address, address, address, live.address))
                ratios.append((b1 + b2) / (a1 + a2))
                noise.append(a2 / a1)
            print(f"program with a {name} server / with a live one, {repeats} times A B B A: median {statistics.median(ratios):.4f} "
                  f"({min(ratios):.4f} to {max(ratios):.4f}); live / live {statistics.median(noise):.4f} ({min(noise):.4f} to {max(noise):.4f})")
