# SPDX-License-Identifier: Apache-2.0
"""Stops itself where its stacks are of many forms, and says first which they are.

usage: standing.py main|subinterpreter

Prints for each thread "thread TID", in hexadecimal, and for each of its frames, leaf first, "frame NAME FILE:LINE". Then it
stops (SIGSTOP). Runs on CPython 3.7 and later; sub-interpreters are for 3.12 and later.
"""

import os
import signal
import sys
import threading

gate = threading.Lock()
tids = {}


def lines_of(frame):
    while frame:
        code = frame.f_code
        yield f"frame {getattr(code, 'co_qualname', code.co_name)} {code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back


def stacks(*leaves):
    """Of all threads; the caller's has `leaves` before its frames."""
    lines = []
    for ident, frame in sys._current_frames().items():
        lines.append(f"thread {tids[ident]:x}")
        if ident == threading.get_ident():
            lines += [*leaves, *lines_of(sys._getframe(1))]
        else:
            lines += lines_of(frame)
    return "\n".join(lines)


def note_tid():
    tids[threading.get_ident()] = int(os.readlink("/proc/thread-self").rpartition("/")[2])


def parked():
    gate.acquire()


def is_parked(thread):
    frame = sys._current_frames().get(thread.ident)
    return frame and frame.f_code is parked.__code__ and frame.f_lineno == parked.__code__.co_firstlineno + 1


class Wächter:
    def 待つ(self):
        note_tid()
        yield from (parked() for _ in range(1))


def freeze():
    print(stacks(), flush=True), os.kill(os.getpid(), signal.SIGSTOP)


def down(depth):
    if depth:
        return down(
            depth - 1
        )
    return [(lambda:
             freeze())() for _ in range(1)]


SOURCE = '''
import os, signal, sys

def lines_of(frame):
    while frame:
        yield f"frame {frame.f_code.co_qualname} {frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back

def inner():
    print(%r.replace("INNER", "\\n".join(lines_of(sys._getframe()))), flush=True), os.kill(os.getpid(), signal.SIGSTOP)

inner()
'''


def subinterpreter():
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    interpreters.run_string(interpreters.create(), SOURCE % stacks("INNER"))


def main():
    note_tid()
    gate.acquire()
    thread = threading.Thread(target=lambda: list(Wächter().待つ()), daemon=True)
    thread.start()
    while not is_parked(thread):
        pass
    if sys.argv[1] == "main":
        sorted([1, 2], key=lambda _: down(20))
    else:
        subinterpreter()


main()
