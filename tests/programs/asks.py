# SPDX-License-Identifier: Apache-2.0
"""Calls the kernel every few microseconds: a stop that comes late finds it at the end of such a call. usage: asks.py SECONDS

Prints as JSON which share of its time think() takes, measured behind that.
"""

import json
import os
import sys
import time


def step():
    pass


def think():
    for _ in range(80):
        step()


def ask():
    os.getppid()
    for _ in range(40):
        step()


def busy(until):
    while time.monotonic() < until:
        for _ in range(50):
            think()
            ask()


def share_of_think():
    alone = both = 0
    for _ in range(200):
        begin = time.perf_counter()
        for _ in range(100):
            think()
            think()
        middle = time.perf_counter()
        for _ in range(100):
            think()
            ask()
        both += time.perf_counter() - middle
        alone += (middle - begin) / 2
    return alone / both


busy(time.monotonic() + float(sys.argv[1]))
print(json.dumps({"think": share_of_think()}), flush=True)
