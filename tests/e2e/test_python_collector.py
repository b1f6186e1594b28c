# SPDX-License-Identifier: Apache-2.0
"""Garbage collection is a frame of its own, where it happens and as long as it takes. The import system's code is none."""

import os
import tempfile
import unittest

import agent_runs
from agent_runs import Run, binomial_bound

RATE = 1000


def one_interpreter(test, name, check):
    interpreter = agent_runs.need_interpreters(name)[0]  # test_python_versions has all of them
    with test.subTest(str(interpreter)):
        check(interpreter)


class Collector(unittest.TestCase):
    def check(self, name, beside=False):
        one_interpreter(self, name, lambda interpreter: self.check_one(interpreter, name, beside))

    def check_one(self, interpreter, name, beside):
        arguments = ["2.5", "beside"] if beside else ["2.5"]
        run = Run(interpreter.command("collector.py", *arguments), ["--sample-rate", str(RATE)])
        self.assertEqual(run.status, 0, run.stderr)
        truth, profile = run.truth(), run.profile
        total, samples = profile.total("cpu"), profile.total("samples")
        # 3.15 tells which frame the collection began in: finalizers are shown above it.
        is_exact = name.startswith("3.15")
        collected = profile.inclusive("cpu").get("<gc>", 0) / total
        true = (truth["collector"] + (truth["finalizers"] if is_exact else 0)) / truth["process"]
        print(f"CPython {interpreter}: <gc> {collected:.2%}, true {true:.2%}, finalizers "
              f"{truth['finalizers'] / truth['process']:.2%}, of {samples} samples")
        for sample in profile.samples:
            names = [frame[0] for frame in sample["stack"]]
            if "<gc>" in names:
                self.assertNotIn("compute", names)
                above = names[:names.index("<gc>")]
                self.assertIn(above, ([], ["Finalized.__del__"]))
        self.assertGreater(true, 0.03)
        if run.is_too_busy(RATE):
            return
        bound = max(0.02, binomial_bound(true, samples, 5))
        if beside and not is_exact:
            # Another thread may have the GIL while a finalizer waits for it: shown only where it is certain.
            self.assertLess(collected, true + bound)
        else:
            self.assertAlmostEqual(collected, true, delta=bound)

    def test_beside_another_thread_312(self):
        self.check("3.12", beside=True)

    def test_beside_another_thread_315(self):
        self.check("3.15", beside=True)

    def test_310(self):
        self.check("3.10")

    def test_311(self):
        self.check("3.11")

    def test_312(self):
        self.check("3.12")

    def test_313(self):
        self.check("3.13")

    def test_314(self):
        self.check("3.14")

    def test_315(self):
        self.check("3.15")

    def test_311d(self):
        self.check("3.11d")


class Machinery(unittest.TestCase):
    """What an import does is the importing line's; a specialised call of __init__ has no frame between."""

    MODULE = ("import time\n"
              "class Work:\n"
              "    def __init__(self, until):\n"
              "        while time.monotonic() < until: pass\n"
              "def construct(until):\n"
              "    for end in [0] * 100 + [until]: Work(end)\n"
              "construct(time.monotonic() + 1)\n")

    def check(self, name):
        interpreters = [i for i in agent_runs.find_all_interpreters(name) if i.root is None]
        if not interpreters:
            self.skipTest(f"no CPython {name}")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            with open(os.path.join(folder, "work.py"), "w") as file:
                file.write(self.MODULE)
            with open(os.path.join(folder, "start.py"), "w") as file:
                file.write("import work\n")
            run = Run([interpreters[0].path, os.path.join(folder, "start.py")], ["--sample-rate", "500"])
        self.assertEqual(run.status, 0, run.stderr)
        stacks = {tuple(frame[0] for frame in sample["stack"]) for sample in run.profile.samples
                  if sample["stack"][0][0].endswith("__init__") and sample["stack"][0][1].endswith("work.py")}
        name = "Work.__init__" if int(name.split(".")[1]) >= 11 else "__init__"
        self.assertEqual(stacks, {(name, "construct", "<module>", "<module>")})

    def test_37(self):
        self.check("3.7")

    def test_310(self):
        self.check("3.10")

    def test_312(self):
        self.check("3.12")

    def test_313(self):
        self.check("3.13")


if __name__ == "__main__":
    unittest.main()
