# SPDX-License-Identifier: Apache-2.0
"""Runs a generated program in which every line that executes calls spin(), and says which lines those were.

usage: lines.py SECONDS

The program has statements of many kinds, nested at random (always the same), with gaps that need long steps in a line
table, forward and back. Prints "ready", and at the end one line of JSON: for each stack in which spin() was called, as
sys._getframe() tells it, [[name, line], ...] of the program's own frames, and the CPU nanoseconds spent there.
Runs on CPython 3.7 and later.
"""

import json
import random
import sys
import time

NS = 150_000
clock = time.thread_time_ns
spent = {}


def spin(*_):
    begin = now = clock()
    while now - begin < NS:
        now = clock()
    stack = []
    frame = sys._getframe(1)
    while frame:
        code = frame.f_code
        if code.co_filename == "generated.py":
            stack.append((getattr(code, "co_qualname", code.co_name), frame.f_lineno))
        frame = frame.f_back
    key = tuple(stack)
    spent[key] = spent.get(key, 0) + clock() - begin
    return 1


class Chain:
    def step(self, *_):
        return self

    def __add__(self, other):
        return spin()

    def __getitem__(self, place):
        return spin()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def take(*arguments, **_):
    return arguments


def adorn(*_):
    return lambda function: function


# Where a line has GAP, lines without code go in between; BLOCK stands for statements of its own.
STATEMENTS = [
    "spin()",
    "spin(); spin()",
    "take(\n    spin(),\n    spin(),\nGAP\n    spin(),\n)",
    "take(1,\n     spin(), key=[\n         spin(),\n     ])",
    "total = (spin()\n         +\n         spin()\nGAP\n         * spin())",
    "if spin() > 1:\n    spin()\nelif (1 and\n      spin()):\n    BLOCK\nelse:\n    spin()",
    "for _ in range(spin() + 1):\n    spin()\n    BLOCK",
    "left = 2\nwhile left and spin():\n    left -= 1\n    if left:\n        continue\n    spin()",
    "try:\n    spin()\n    raise KeyError(\n        spin()\n    )\nexcept KeyError:\n    spin()\n    BLOCK\nfinally:\nGAP\n    spin()",
    "try:\n    BLOCK\nfinally:\n    spin()",
    "with Chain() as chain, \\\n        chain.step(spin()):\n    BLOCK\n    spin()",
    "chain = (Chain()\n         .step(spin())\nGAP\n         .step(spin())\n         .step(\n             spin()))",
    "listed = [\n    spin()\n    for _ in range(2)\n    if spin()\n]",
    "drained = sum(\n    spin()\n    for _ in range(\n        spin() + 1))",
    "mapped = {\n    spin():\n        spin(),\nGAP\n    2: spin()}",
    "call = lambda: (\n    spin(),\nGAP\n    spin())\ncall()",
    "def local(value=spin()):\n    spin()\nGAP\n    return value + spin()\nlocal(\n    spin())",
    "class Local:\n    spin()\n    value = spin()\n    def method(self):\n        return spin()\nLocal().method()",
    "@adorn(spin())\n@adorn(\n    spin())\ndef adorned():\n    spin()\nadorned()",
    "def numbers():\n    yield spin()\nGAP\n    yield (\n        spin())\nlist(numbers())",
    "text = f'{spin()} and {spin()}'\n",
    "assert spin(), (\n    'never')",
    "first, *rest = [spin(),\n                spin(), spin()]",
    "chosen = (spin() if\n          spin() > 1 else\n          spin())",
    "total = 0\ntotal += \\\n    spin()",
    # Here what calls is the first instruction of its line: the one before is another line's.
    "spin(\n    0,\n    0)",
    "spin(0, [\nGAP\n    1], (\n    2)) if 0 else spin(\n    0)",
    "take(\n    spin(\n        0,\nGAP\n        1),\n    spin(2,\n         3))",
    "total = (Chain()\n         +\nGAP\n         Chain())",
    "total = Chain()[\n    0,\n    1\n]",
    "del take(\n    [spin()])[\n        spin() - 1][0]",
]


def generate(seed, functions):
    """The text of `functions` functions, and of a function main() that calls each of them."""
    choose = random.Random(seed)

    def block(depth, indent):
        lines = []
        for _ in range(choose.randint(1, 2)):
            for line in choose.choice(STATEMENTS if depth < 2 else STATEMENTS[:5]).split("\n"):
                place = " " * indent + line
                if line == "GAP":
                    lines += ["# no code"] * choose.choice((0, 1, 20, 130, 300))
                elif line.strip() == "BLOCK":
                    lines += block(depth + 1, len(place) - len("BLOCK"))
                else:
                    lines.append(place)
        return lines

    text = []
    for number in range(functions):
        text += [f"def function{number}():", *block(0, 4)]
        # Every kind of statement is there once, at least.
        for line in STATEMENTS[number % len(STATEMENTS)].split("\n"):
            text += [] if line == "GAP" else ["    spin()"] if line == "BLOCK" else ["    " + line.replace("BLOCK", "spin()")]
        text += [""] * choose.choice((0, 3, 200))
    return "\n".join([*text, "def main():", *(f"    function{number}()" for number in range(functions)), ""])


def work(until):
    names = {"spin": spin, "take": take, "adorn": adorn, "Chain": Chain}
    exec(compile(generate(20251129, len(STATEMENTS)), "generated.py", "exec"), names)
    while time.monotonic() < until:
        names["main"]()


print("ready", flush=True)
work(time.monotonic() + float(sys.argv[1]))
print(json.dumps({"stacks": list(spent.items())}), flush=True)
