# SPDX-License-Identifier: Apache-2.0
"""Two greenlets that take turns every few milliseconds.

usage: greenlets.py SECONDS

Prints "ready", and at the end the CPU nanoseconds of each, as JSON.
"""

import json
import sys
import time

import greenlet

spent = {"north": 0, "south": 0}


def turn(name, work):
    start = time.thread_time_ns()
    work(start + 3_000_000)
    spent[name] += time.thread_time_ns() - start


def north_work(until):
    while time.thread_time_ns() < until:
        pass


def south_work(until):
    while time.thread_time_ns() < until:
        pass


def north(other):
    while True:
        turn("north", north_work)
        other().switch()


def south(other):
    while True:
        turn("south", south_work)
        turn("south", south_work)
        other().switch()
        if time.monotonic() > end:
            return


print("ready", flush=True)
end = time.monotonic() + float(sys.argv[1])
first = greenlet.greenlet(lambda: north(lambda: second))
second = greenlet.greenlet(lambda: south(lambda: first))
second.switch()
print(json.dumps(spent))
