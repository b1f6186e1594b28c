# SPDX-License-Identifier: Apache-2.0
"""One thread that holds the GIL, one that computes without it.

usage: gil.py SECONDS

Prints "ready", and at the end CPU nanoseconds by function and of the process, as JSON.
"""

import hashlib
import json
import sys
import threading
import time

clock = time.thread_time_ns
spent = {}


def holder(until):
    while time.monotonic() < until:
        sum(range(100))
    spent["holder"] = clock()


def hasher(until):
    data = bytes(1 << 24)
    while time.monotonic() < until:
        hashlib.sha256(data)
    spent["hasher"] = clock()


def main():
    print("ready", flush=True)
    until = time.monotonic() + float(sys.argv[1])
    threads = [threading.Thread(target=work, args=(until,)) for work in (holder, hasher)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"functions": spent, "process": time.process_time_ns()}), flush=True)


main()
