# SPDX-License-Identifier: Apache-2.0
"""Children by every way that Python starts them; each burns CPU time in a function of its own.

usage: children.py SECONDS

Prints "ready", and at the end as JSON: the CPU nanoseconds that each function took. Runs on CPython 3.7 and later.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import time


def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def by_fork(seconds):
    burn(seconds)


def by_spawn(seconds):
    burn(seconds)


def by_forkserver(seconds):
    burn(seconds)


def by_subprocess(seconds):
    burn(seconds)


def by_shell(seconds):
    burn(seconds)


def by_os_fork(seconds):
    burn(seconds)


def main(seconds):
    print("ready", flush=True)
    for method, function in (("fork", by_fork), ("spawn", by_spawn), ("forkserver", by_forkserver)):
        child = multiprocessing.get_context(method).Process(target=function, args=(seconds,))
        child.start()
        child.join()
        assert child.exitcode == 0, function
    own = [sys.executable, os.path.abspath(__file__), str(seconds)]
    subprocess.run([*own, "by_subprocess"], check=True)
    # Python is a grandchild, behind a script that is the entry point.
    subprocess.run(["sh", "-c", '"$@" & wait $!', "sh", *own, "by_shell"], check=True)
    child = os.fork()
    if child == 0:
        by_os_fork(seconds)
        os._exit(0)
    os.waitpid(child, 0)
    names = [name for name in globals() if name.startswith("by_")]
    print(json.dumps({"functions": {name: int(seconds * 1e9) for name in names}}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        globals()[sys.argv[2]](float(sys.argv[1]))
    else:
        main(float(sys.argv[1]))
