# SPDX-License-Identifier: Apache-2.0
"""Burns CPU in stacks of every form, and says which they were, line by line.

usage: stacks.py SECONDS

Prints "ready", and at the end one line of JSON: for every stack in which spin() was called, as sys._getframe() tells it,
[[name, line], ...] from spin's caller on, and the CPU nanoseconds spent there, those of a forked child among them.
Runs on CPython 3.7 and later.
"""

import functools
import json
import os
import sys
import threading
import time

clock = time.thread_time_ns
lock = threading.Lock()
spent = {}


def spin(ns):
    begin = now = clock()
    while now - begin < ns:
        now = clock()
    stack = []
    frame = sys._getframe(1)
    while frame:
        code = frame.f_code
        stack.append((getattr(code, "co_qualname", code.co_name), frame.f_lineno))
        frame = frame.f_back
    with lock:
        key = tuple(stack)
        spent[key] = spent.get(key, 0) + clock() - begin
    return ns


def lines(ns):
    spin(ns)
    spin(ns); spin(ns)  # noqa: E702
    total = spin(
        ns,
    ) + spin(ns)
    for i in range(2):
        if i:
            total += spin(ns)
        else:
            total += (
                1 +
                spin(ns)
            )
    try:
        spin(ns)
        raise KeyError(
            spin(ns)
        )
    except KeyError:
        spin(ns)
    finally:
        spin(ns)
    with lock_free():
        spin(ns)



    # Lines far apart, and further than one step of a line table goes.







































































































































    spin(ns)
    return total


class lock_free:
    def __enter__(self):
        spin(100_000)

    def __exit__(self, *_):
        spin(100_000)


def generator(ns):
    for _ in range(2):
        spin(ns)
        yield ns
    yield from inner_generator(ns)


def inner_generator(ns):
    yield spin(ns)


def decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


class Größe:
    @decorated
    def berechne(self, ns):
        return spin(ns)

    @property
    def 値(self):
        return spin(300_000)

    def __len__(self):
        return spin(300_000) and 1


def µ_𝒻(ns):
    return [spin(ns) for _ in range(2)], {spin(ns) for _ in range(1)}, (lambda: spin(ns))()


def callbacks(ns):
    sorted([1, 2], key=lambda _: spin(ns))
    list(map(spin, [ns]))
    len(Größe())


def deep(depth, ns):
    return deep(depth - 1, ns) if depth else spin(ns)


def everything(ns):
    lines(ns)
    sum(generator(ns))
    Größe().berechne(ns)
    Größe().値
    µ_𝒻(ns)
    callbacks(ns)
    deep(100, 2 * ns)


def work(until):
    while time.monotonic() < until:
        everything(500_000)


def in_thread(until):
    while time.monotonic() < until:
        spin(700_000)


def in_child(until):
    while time.monotonic() < until:
        spin(700_000)


def main():
    print("ready", flush=True)
    until = time.monotonic() + float(sys.argv[1])
    end, child_end = os.pipe()
    if os.fork() == 0:
        in_child(until)
        with os.fdopen(child_end, "w") as file:
            json.dump(list(spent.items()), file)
        os._exit(0)
    os.close(child_end)
    thread = threading.Thread(target=in_thread, args=(until,))
    thread.start()
    work(until)
    thread.join()
    with os.fdopen(end) as file:
        childs = json.load(file)
    os.wait()
    print(json.dumps({"stacks": list(spent.items()) + childs}), flush=True)


main()
