# SPDX-License-Identifier: Apache-2.0
"""Burns CPU in a sub-interpreter that runs upon the main one, on one thread. 3.12 and later.

usage: subinterpreter.py SECONDS
"""

import sys

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

SOURCE = """
import time

def inner(until):
    while time.monotonic() < until:
        pass

inner(time.monotonic() + %s)
"""


def outer(seconds):
    sub = interpreters.create()
    interpreters.run_string(sub, SOURCE % seconds)
    interpreters.destroy(sub)


print("ready", flush=True)
outer(float(sys.argv[1]))
