# SPDX-License-Identifier: Apache-2.0
"""Never sleeps. usage: spin.py SECONDS; prints "ready" first, and at the end the longest time that it stood still."""

import json
import sys
import time


def spin(until):
    longest = 0
    last = time.monotonic()
    while last < until:
        now = time.monotonic()
        if now - last > longest:
            longest = now - last
        last = now
    return longest


print("ready", flush=True)
print(json.dumps({"longest_gap": spin(time.monotonic() + float(sys.argv[1]))}), flush=True)
