# SPDX-License-Identifier: Apache-2.0
"""Forks brief children with a second thread that end in the middle of their work, each way in turn.

usage: exits.py COUNT

Prints "ready", and at the end as JSON: the CPU nanoseconds of all children, and how many there were.
"""

import json
import os
import resource
import signal
import sys
import threading
import time


def deep(depth):
    return deep(depth - 1) if depth else sum(range(20))


def beside():
    while True:
        deep(30)


def brief(way):
    threading.Thread(target=beside, daemon=True).start()
    until = time.monotonic() + 0.03
    while time.monotonic() < until:
        deep(40)
    if way == 0:
        os._exit(0)
    if way == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if way == 2:
        os.execv("/bin/true", ["true"])
    # Way 3: as programs end, while the other thread runs on.


def main(count):
    print("ready", flush=True)
    for i in range(count):
        child = os.fork()
        if child == 0:
            brief(i % 4)
            sys.exit(0)
        os.waitpid(child, 0)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"children": count, "ns": int((usage.ru_utime + usage.ru_stime) * 1e9)}), flush=True)


main(int(sys.argv[1]))
