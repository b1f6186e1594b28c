# SPDX-License-Identifier: Apache-2.0
"""One process that executes itself in place, and then through a shell; each life burns CPU time in a function of its own.

usage: executes.py SECONDS

Prints "ready" first, and at the end as JSON the CPU nanoseconds that each function took.
"""

import json
import os
import sys
import time


def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def first(seconds):
    burn(seconds)


def second(seconds):
    burn(seconds)


def third(seconds):
    burn(seconds)


def main(seconds, life):
    if life == "first":
        print("ready", flush=True)
        first(seconds)
        os.execv(sys.executable, [sys.executable, __file__, str(seconds), "second"])
    elif life == "second":
        second(seconds)
        os.execv("/bin/sh", ["sh", "-c", 'exec "$@"', "sh", sys.executable, __file__, str(seconds), "third"])
    else:
        third(seconds)
        functions = dict.fromkeys(("first", "second", "third"), int(seconds * 1e9))
        print(json.dumps({"functions": functions}), flush=True)


main(float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "first")
