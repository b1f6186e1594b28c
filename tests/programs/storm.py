# SPDX-License-Identifier: Apache-2.0
"""Programs that start programs all the time while their threads run.

usage: storm.py exec|vfork COUNT

exec: replaces itself COUNT times, each time with four threads running. vfork: starts /bin/true COUNT times (CPython's
subprocess uses vfork) beside three running threads, and prints the longest time that the loop of one of them stood still.
"""

import json
import os
import subprocess
import sys
import threading
import time

stop = False
longest = 0.0


def spin():
    global longest
    last = time.monotonic()
    while not stop:
        now = time.monotonic()
        longest = max(longest, now - last)
        last = now


def main():
    global stop
    mode, count = sys.argv[1], int(sys.argv[2])
    threads = [threading.Thread(target=spin, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    if mode == "exec":
        if count > 0:
            sys.stdout.flush()
            os.execv(sys.executable, [sys.executable, "-S", "-E", __file__, "exec", str(count - 1)])
    else:
        for _ in range(count):
            subprocess.run(["/bin/true"], check=True)
    stop = True
    for thread in threads:
        thread.join()
    print(json.dumps({"longest_gap": longest}), flush=True)


main()
