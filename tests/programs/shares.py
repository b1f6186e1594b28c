# SPDX-License-Identifier: Apache-2.0
"""Burns CPU in functions of its own for a while and says how much went where.

usage: shares.py SECONDS [THREADS]

Prints "ready" when it begins, and at the end one line of JSON: CPU nanoseconds of each function by the kernel's
clock of the thread, and of the whole process.
"""

import json
import sys
import threading
import time

clock = time.thread_time_ns
spent = {}
lock = threading.Lock()


def tokenize(nanoseconds):
    begin = now = clock()
    while now - begin < nanoseconds:
        "alpha beta gamma delta".split()
        now = clock()
    return now - begin


def checksum(nanoseconds):
    begin = now = clock()
    while now - begin < nanoseconds:
        sum(range(50))
        now = clock()
    return now - begin


class Renderer:
    def draw(self, nanoseconds):
        begin = now = clock()
        while now - begin < nanoseconds:
            "{:08d}".format(now)
            now = clock()
        return now - begin


def lookup(nanoseconds):
    def probe():
        begin = now = clock()
        while now - begin < nanoseconds:
            {"a": 1, "b": 2}.get("b")
            now = clock()
        return now - begin

    return probe()


WORK = [  # name in the profile, function, share of each round
    ("tokenize", tokenize, 0.45),
    ("checksum", checksum, 0.25),
    ("Renderer.draw", Renderer().draw, 0.20),
    ("lookup.<locals>.probe", lookup, 0.10),
]
ROUND = 7_000_000  # ns of CPU; no multiple of any sampling period


def work(until):
    own = dict.fromkeys((name for name, _, _ in WORK), 0)
    while time.monotonic() < until:
        for name, function, share in WORK:
            own[name] += function(int(ROUND * share))
    with lock:
        for name, value in own.items():
            spent[name] = spent.get(name, 0) + value


def main():
    print("ready", flush=True)
    until = time.monotonic() + float(sys.argv[1])
    threads = [threading.Thread(target=work, args=(until,)) for _ in range(int(sys.argv[2]) - 1)] if len(sys.argv) > 2 else []
    for thread in threads:
        thread.start()
    work(until)
    for thread in threads:
        thread.join()
    print(json.dumps({"functions": spent, "process": time.process_time_ns()}), flush=True)


main()
