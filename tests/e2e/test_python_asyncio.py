# SPDX-License-Identifier: Apache-2.0
"""--asyncio against what asyncio itself tells of its tasks (asyncio.capture_call_graph)."""

import re
import unittest

import agent_runs
from agent_runs import Run

SECONDS = 0.5
RATE = 500


def with_names(chain):
    """What the profile shall have of a truth of tasks.py: [(function, line)], innermost first, from the task's first coroutine
    on. What it awaits in another way than by a coroutine is not shown of a task that waits."""
    frames = []
    for place, task in enumerate(chain):
        if task is None:
            frames.append(("<awaited by several tasks>", 0))
            break
        name, stack = task
        if place > 0:
            frames += [tuple(frame) for frame in stack]
        frames.append(("<task>" if re.fullmatch(r"Task-\d+", name) else f"<task {name}>", 0))
    return frames


class Asyncio(unittest.TestCase):
    def check(self, name, *flags):
        for interpreter in agent_runs.need_interpreters(name):
            with self.subTest(str(interpreter)):
                run = Run(interpreter.command("tasks.py", str(SECONDS)), ["--asyncio", "--sample-rate", str(RATE), *flags])
                self.assertEqual(run.status, 0, run.stderr)
                self.check_run(run)

    def check_run(self, run):
        for function, chain in run.truth().items():
            expected = with_names(chain)
            right, early, all_of_it, wrong = 0, 0, 0, None
            for sample in run.profile.samples:
                names = [frame[0] for frame in sample["stack"]]
                if function not in names:
                    continue
                # From the task's outermost coroutine to the frame of the event loop, without native frames.
                between = sample["stack"][names.index("middle") + 1:names.index("Handle._run")]
                tasks = [(name, line) for name, file, line in between if file.endswith(".py") or name.startswith("<")]
                count = sample["values"]["samples"]
                all_of_it += count
                if tasks == expected:
                    right += count
                elif not tasks and function == "chained":
                    early += count  # asyncio's module was not found yet
                else:
                    wrong = tasks
            print(f"  {function}: {right} of {all_of_it}, {early} too early")
            self.assertGreater(all_of_it, SECONDS * RATE / 4)
            self.assertEqual((right + early, wrong), (all_of_it, None), expected)
            self.assertLess(early, 0.5 * all_of_it)

    def test_314(self):
        self.check("3.14")

    def test_315(self):
        self.check("3.15")

    def test_314d(self):
        self.check("3.14d")

    def test_with_native_frames(self):
        self.check("3.14d", "--native")

    def test_older_ones_say_so(self):
        run = Run([agent_runs.any_interpreter(), "-c", "sum(range(10**7))"], ["--asyncio"])
        self.assertRegex(run.stderr, r"^agent: --asyncio shows no tasks of CPython 3\.\d+\.\d+: 3\.14 and later tell them\n$")
        self.assertEqual(run.status, 0)


if __name__ == "__main__":
    unittest.main()
