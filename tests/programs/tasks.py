# SPDX-License-Identifier: Apache-2.0
"""Asyncio tasks that wait for each other while one of them computes (3.14 and later).

usage: tasks.py SECONDS

Each of the functions chained, gathered, unnamed and shared computes that long, in a task. Prints "ready", and at the end what
asyncio itself says of the tasks that waited meanwhile, as JSON: {function: [[name, [[function, line], ...]], ...]}, the task
that computed first, frames innermost first; null behind a task that several await.
"""

import asyncio
import json
import sys
import time

SECONDS = float(sys.argv[1])
truth = {}


def tell(graph):
    """The graph of what a task is awaited by, while that is one task each."""
    name = graph.future.get_name()
    chain = [[name, [[e.frame.f_code.co_qualname, e.frame.f_lineno] for e in graph.call_stack]]]
    if len(graph.awaited_by) > 1:
        return chain + [None]
    return chain + tell(graph.awaited_by[0]) if graph.awaited_by else chain


def compute(function):
    truth[function.__name__] = tell(asyncio.capture_call_graph())
    function(time.monotonic() + SECONDS)


def chained(until):
    while time.monotonic() < until:
        pass


def gathered(until):
    while time.monotonic() < until:
        pass


def unnamed(until):
    while time.monotonic() < until:
        pass


def shared(until):
    while time.monotonic() < until:
        pass


async def deep(function):
    await asyncio.sleep(0.02)  # let those that will wait do so
    compute(function)


async def middle(function):
    await deep(function)


async def in_group(function):
    async with asyncio.TaskGroup() as group:
        group.create_task(middle(function), name="player")


async def main():
    asyncio.current_task().set_name("conductor")
    await asyncio.create_task(in_group(chained), name="brass")
    await asyncio.gather(asyncio.create_task(middle(gathered), name="näme"))
    await asyncio.create_task(middle(unnamed))
    one = asyncio.create_task(middle(shared), name="soloist")
    await asyncio.gather(asyncio.create_task(listen(one)), asyncio.create_task(listen(one)))


async def listen(task):
    await task


print("ready", flush=True)
asyncio.run(main())
print(json.dumps(truth))
