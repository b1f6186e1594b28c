# SPDX-License-Identifier: Apache-2.0
"""Calls and returns all the time, in chains that never mix: a stack that has functions of two chains cannot exist.

usage: flutter.py SECONDS

Prints "ready". Functions are called chain<N>_<depth>; those of one chain call each other only, down to a depth that
differs from call to call. Recursive ones alternate between two. What one recursion left behind is deep under the next
one's feet (left, right). Generators are run in between: one, one through others, and two that take turns.
"""

import sys
import time

CHAINS, DEPTH = 6, 8
DEEP = 250


def make(chain):
    functions = {}
    for depth in reversed(range(DEPTH)):
        source = (f"def chain{chain}_{depth}(left):\n"
                  f"    if left:\n"
                  f"        {'callee(left - 1)' if depth + 1 < DEPTH else 'pass'}\n"
                  f"    return left\n")
        names = {"callee": functions.get(depth + 1)}
        exec(source, names)
        functions[depth] = names[f"chain{chain}_{depth}"]
    return functions[0]


def even(n):
    return n and odd(n - 1)


def odd(n):
    return n and even(n - 1)


def left(n):
    return n and left(n - 1)


def right(n):
    return n and right(n - 1)


def numbers(n):
    for i in range(n):
        yield i


def drain(n):
    return sum(numbers(n))


def outer(n):
    yield from middle(n)


def middle(n):
    yield from inner(n)


def inner(n):
    for i in range(n):
        yield i


def delegate(n):
    return sum(outer(n))


def ping(n):
    for i in range(n):
        yield i


def pong(n):
    for i in range(n):
        yield i


def take_turns(n):
    for a, b in zip(ping(n), pong(n)):
        pass


def main():
    chains = [make(chain) for chain in range(CHAINS)]
    print("ready", flush=True)
    until = time.monotonic() + float(sys.argv[1])
    turn = 0
    while time.monotonic() < until:
        for chain in chains:
            turn += 1
            chain(turn % DEPTH)
        even(turn % 40)
        drain(turn % 7)
        delegate(turn % 5)
        take_turns(turn % 6)
        if turn % 8 == 0:  # a fifth of the time
            (left if turn % 16 else right)(DEEP)


main()
