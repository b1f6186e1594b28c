# SPDX-License-Identifier: Apache-2.0
"""Runs down two chains of functions that never mix, all the time, in some of its threads; the others sleep.

usage: depths.py SECONDS DEPTH [THREADS BUSY [share]]

Functions are called left_<n> and right_<n>; the right chain is half as deep. Prints "ready", and at the end as JSON how often
the busy threads came to the ends of both (work) in how many seconds, the CPU seconds of the process, and if asked which share
of both chains' time bottom() takes, measured behind that.
"""

import json
import sys
import threading
import time

work = [0]


def bottom():
    for _ in range(500):  # 2 to 10 us, in which a stack stands still
        pass


def chain(name, depth):
    source = [f"def {name}_{i}(): {name}_{i + 1}()" for i in range(depth - 1)]
    names = {"bottom": bottom}
    exec(compile("\n".join([*source, f"def {name}_{depth - 1}(): bottom()"]), __file__, "exec"), names)
    return names[f"{name}_0"]


def busy(left, right, until):
    count = 0
    while time.monotonic() < until:
        left()
        right()
        count += 1
    work[0] += count


def share_of_bottom(left, right):
    alone = both = 0
    for _ in range(100):
        begin = time.thread_time()
        for _ in range(100):
            bottom()
            bottom()
        middle = time.thread_time()
        for _ in range(100):
            left()
            right()
        alone += middle - begin
        both += time.thread_time() - middle
    return alone / both


def sleeper(event):
    event.wait()


def main():
    seconds, depth, threads, running = float(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:5] or (1, 1))
    left, right = chain("left", depth - 3), chain("right", (depth - 3) // 2)
    event = threading.Event()
    sleepers = [threading.Thread(target=sleeper, args=(event,)) for _ in range(threads - running)]
    for thread in sleepers:
        thread.start()
    print("ready", flush=True)
    begin = time.monotonic()
    others = [threading.Thread(target=busy, args=(left, right, begin + seconds)) for _ in range(running - 1)]
    for thread in others:
        thread.start()
    busy(left, right, begin + seconds)
    for thread in others:
        thread.join()
    took = time.monotonic() - begin
    event.set()
    for thread in sleepers:
        thread.join()
    result = {"work": work[0], "seconds": took, "cpu": time.process_time()}
    if sys.argv[5:] == ["share"]:
        result["bottom"] = share_of_bottom(left, right)
    print(json.dumps(result), flush=True)


main()
