# SPDX-License-Identifier: Apache-2.0
"""Burns CPU in C that Python calls, in Python that C calls, and in Python alone: mixed.py SECONDS.

Each part takes some ten milliseconds: the clock between them is a system call, which draws stops.

Prints as its last line JSON: CPU nanoseconds of each function by the thread's own clock, and of the process.
"""

import json
import sys
import time
import zlib

DATA = bytes((i * 7919 >> 3) & 255 for i in range(40000))
NUMBERS = [i * 7919 % 104729 for i in range(400)]


def compress():
    for _ in range(20):
        zlib.compress(DATA, 9)


def key_of(number):
    total = 0
    for i in range(30):
        total += i ^ number
    return total, number


def sort_with_key():
    for _ in range(10):
        sorted(NUMBERS, key=key_of)


def spin():
    total = 0
    for i in range(300000):
        total += i * i
    return total


def items():
    for number in NUMBERS:
        yield key_of(number)


def sum_up():
    return sum(first for _ in range(10) for first, second in items())


def main():
    clock = getattr(time, "thread_time_ns", None) or (lambda: int(time.thread_time() * 1e9))
    functions = {part: 0 for part in (compress, sort_with_key, spin, sum_up)}
    end = time.time() + float(sys.argv[1])
    while time.time() < end:
        for part in functions:
            begin = clock()
            part()
            functions[part] += clock() - begin
    print(json.dumps({"functions": {part.__name__: spent for part, spent in functions.items()},
                      "process": time.process_time_ns()}))


main()
