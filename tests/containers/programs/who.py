# SPDX-License-Identifier: Apache-2.0
"""Prints who it is: user ids, group ids, supplementary groups. Then burns CPU in tokenize() until SIGTERM, and ends with 7."""

import os
import signal
import sys
import time

stopped = []


def tokenize(until):
    while time.thread_time() < until:
        "alpha beta gamma delta".split()


signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
print("ready", os.getresuid(), os.getresgid(), sorted(os.getgroups()), flush=True)
while not stopped:
    tokenize(time.thread_time() + 0.01)
sys.exit(7)
