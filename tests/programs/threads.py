# SPDX-License-Identifier: Apache-2.0
"""Four threads with functions of their own, and two that sleep.

usage: threads.py SECONDS

Prints "ready", and at the end CPU nanoseconds by function and of the process, as JSON.
"""

import json
import sys
import threading
import time

clock = time.thread_time_ns
spent = {}


def north(until):
    while time.monotonic() < until:
        pass
    spent["north"] = clock()


def east(until):
    while time.monotonic() < until:
        sum(range(100))
    spent["east"] = clock()


def south(until):
    while time.monotonic() < until:
        "a b c d".split()
    spent["south"] = clock()


def west(until):
    while time.monotonic() < until:
        {i: i for i in range(20)}
    spent["west"] = clock()


def sleeper(event):
    event.wait()


def main():
    print("ready", flush=True)
    until = time.monotonic() + float(sys.argv[1])
    event = threading.Event()
    workers = [threading.Thread(target=work, args=(until,), name=work.__name__) for work in (north, east, south, west)]
    sleepers = [threading.Thread(target=sleeper, args=(event,)) for _ in range(2)]
    for thread in workers + sleepers:
        thread.start()
    for thread in workers:
        thread.join()
    event.set()
    for thread in sleepers:
        thread.join()
    print(json.dumps({"functions": spent, "process": time.process_time_ns()}), flush=True)


main()
