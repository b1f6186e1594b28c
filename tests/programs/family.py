# SPDX-License-Identifier: Apache-2.0
"""A process with a child and a named thread; each burns CPU time in a function of its own.

usage: family.py SECONDS

Prints "ready", and at the end as JSON: the pids, and CPU nanoseconds of the parent and of the child.
"""

import json
import os
import sys
import threading
import time

SECONDS = float(sys.argv[1])


def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def in_child():
    burn(SECONDS)


def in_thread():
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write("worker-7")
    burn(SECONDS)


print("ready", flush=True)
child = os.fork()
if child == 0:
    in_child()
    os._exit(0)
thread = threading.Thread(target=in_thread)
thread.start()
thread.join()
_, _, usage = os.wait4(child, 0)
print(json.dumps({"parent": os.getpid(), "child": child, "parent_ns": time.process_time_ns(),
                  "child_ns": int((usage.ru_utime + usage.ru_stime) * 1e9)}), flush=True)
