# SPDX-License-Identifier: Apache-2.0
"""The same work each time. usage: fixed_work.py ROUNDS (about 40 ms each)"""

import sys


def inner(n):
    return sum(i * i for i in range(n))


def outer(n):
    total = 0
    for i in range(20):
        total += inner(n) + len("x y z".split())
    return total


for _ in range(int(sys.argv[1])):
    outer(20000)
