# SPDX-License-Identifier: Apache-2.0
"""Never sleeps. usage: spin.py SECONDS; SIGTERM ends it sooner. Prints "ready" first, and at the end the longest time that
it stood still."""

import json
import signal
import sys
import time


def end(*_):
    global until
    until = 0


def spin():
    longest = 0
    last = time.monotonic()
    while last < until:
        now = time.monotonic()
        if now - last > longest:
            longest = now - last
        last = now
    return longest


until = time.monotonic() + float(sys.argv[1])
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
print(json.dumps({"longest_gap": spin()}), flush=True)
