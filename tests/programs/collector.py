# SPDX-License-Identifier: Apache-2.0
"""Makes garbage that only the collector can free, and says what the collector took.

usage: collector.py SECONDS [beside]

"beside": another thread computes meanwhile. Prints "ready", and at the end CPU nanoseconds of the
process, of the collector without the finalizers that it ran, and of these, as JSON.
"""

import gc
import json
import sys
import threading
import time

clock = time.thread_time_ns
collector = finalizers = 0


class Node:
    def __init__(self):
        self.me = self


class Finalized(Node):
    def __del__(self):
        global finalizers
        before = clock()
        sum(range(10000))
        finalizers += clock() - before


def compute(until):
    while time.monotonic() < until:
        sum(range(100))


def litter(until, number=0):
    global collector
    while time.monotonic() < until:
        for i in range(4000):  # many, for the clock takes 2 us
            Node()
        Finalized()
        before = clock()
        gc.collect(number % 4 == 0)
        collector += clock() - before
        number += 1


def main():
    kept = [[i] for i in range(30000)]  # what the collector has to look through
    gc.disable()
    print("ready", flush=True)
    until = time.monotonic() + float(sys.argv[1])
    others = [threading.Thread(target=compute, args=(until,)) for word in sys.argv[2:] if word == "beside"]
    for other in others:
        other.start()
    # From a call that C makes, as most of a program is.
    list(map(litter, [until]))
    for other in others:
        other.join()
    print(json.dumps({"process": time.process_time_ns(), "collector": collector - finalizers, "finalizers": finalizers,
                      "kept": len(kept)}), flush=True)


main()
