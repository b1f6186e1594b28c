# SPDX-License-Identifier: Apache-2.0
"""Burns CPU in tokenize() and checksum(), three to one, until SIGTERM, and then ends with status 7.

usage: service.py [SECONDS_TO_END]
"""

import signal
import sys
import time

stopped = []


def tokenize(until):
    while time.thread_time() < until:
        for _ in range(50):
            "alpha beta gamma delta".split()


def checksum(until):
    while time.thread_time() < until:
        for _ in range(20):
            sum(range(50))


def main():
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    print("ready", flush=True)
    while not stopped:
        tokenize(time.thread_time() + 0.015)
        checksum(time.thread_time() + 0.005)
    if len(sys.argv) > 1:
        time.sleep(float(sys.argv[1]))
    print("bye", flush=True)
    sys.exit(7)


main()
