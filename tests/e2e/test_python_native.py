# SPDX-License-Identifier: Apache-2.0
"""--native: native and Python frames in one stack."""

import unittest

import agent_runs
from agent_runs import Run

SECONDS = 4
# A thread that has never run Python, one that has, and the main thread: all of them asleep.
SLEEPERS = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
thread = ctypes.c_ulong()
libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)
def sleeper():
    time.sleep(100)
threading.Thread(target=sleeper, daemon=True).start()
time.sleep(2)
"""
RATE = 1000


class Native(unittest.TestCase):
    def check(self, name):
        self.check_interpreter(agent_runs.need_interpreters(name)[0])

    def check_interpreter(self, interpreter):
        run = Run(interpreter.command("mixed.py", str(SECONDS)), ["--sample-rate", str(RATE), "--native"])
        self.assertEqual(run.status, 0, run.stderr)
        truth, profile = run.truth(), run.profile
        total = profile.total("cpu")
        self.assertAlmostEqual(total / truth["process"], 1, delta=0.03)
        inclusive = profile.inclusive("cpu")
        samples = profile.total("samples")
        for function, true in truth["functions"].items():
            share, expected = inclusive.get(function, 0) / total, true / truth["process"]
            print(f"  {function}: sampled {share:.2%}, true {expected:.2%}")
            if not run.is_too_busy(RATE):
                self.assertAlmostEqual(share, expected, delta=max(0.03, agent_runs.binomial_bound(expected, samples)), msg=function)
        for marker in ("[native callers not matched]", "[callers unknown]", "[stack cut]"):
            print(f"  {marker}: {inclusive.get(marker, 0) / total:.3%}")
            self.assertLess(inclusive.get(marker, 0) / total, 0.005, marker)
        self.check_order(profile)

    def check_order(self, profile):
        """Each function of C stands where it was called: above the Python that called it, below what it calls."""
        in_zlib, compressing, sorting, wrong = 0, 0, 0, set()
        spinning, in_interpreter = 0, 0
        for sample in profile.samples:
            names = [frame[0] for frame in sample["stack"]]
            cpu = sample["values"]["cpu"]
            # Before the interpreter has started it is machine code like any other.
            if "_PyEval_EvalFrameDefault" in names and "<module>" in names:
                wrong.add("the interpreter's own: " + " < ".join(names[:4]))
            if "spin" in names:
                spinning += cpu
                in_interpreter += cpu if names[0] == "spin" else 0
            if "compress" in names:
                compressing += cpu
                in_zlib += cpu if any("deflate" in name for name in names[: names.index("compress")]) else 0
            if "key_of" in names and "sort_with_key" in names:
                sorting += cpu
                between = names[names.index("key_of") : names.index("sort_with_key")]
                if not any("sort" in name or "+0x" in name for name in between):  # that is static, without a name
                    wrong.add("no C between: " + " < ".join(names[:6]))
            own = [name for name in names if name in ("compress", "key_of", "spin", "items", "sum_up", "sort_with_key")]
            # The module's frame, main and the import of it, whatever is above.
            if own and names.index(own[-1]) > names.index("<module>"):
                wrong.add("above <module>: " + " < ".join(names[-6:]))
        print(f"  {in_zlib / compressing:.1%} of compress in zlib, {in_interpreter / spinning:.1%} of spin in the interpreter")
        self.assertGreater(sorting, 0)
        self.assertGreater(in_zlib / compressing, 0.8)
        # Code of it that is not known would stand as a function above.
        self.assertGreater(in_interpreter / spinning, 0.05)
        self.assertEqual(sorted(wrong)[:5], [])

    def check_sleepers(self, interpreter):
        command = [interpreter.path, "-c", SLEEPERS]
        run = Run(interpreter.in_root(*command) if interpreter.root else command, ["--wall", "--native"])
        self.assertEqual(run.status, 0, run.stderr)
        asleep = {"sleeper": 0, "pause [syscall]": 0}
        for sample in run.profile.samples:
            names = [frame[0] for frame in sample["stack"]]
            for name in asleep:
                asleep[name] += sample["values"]["wall"] if name in names else 0
        print(f"  wall time asleep: {asleep}")
        for name, time in asleep.items():
            self.assertGreater(time, 1.5e9, name)

    def test_sleepers_39(self):
        self.check_sleepers(agent_runs.need_interpreters("3.9")[0])

    def test_sleepers_312(self):
        self.check_sleepers(agent_runs.need_interpreters("3.12")[0])

    def test_sleepers_315(self):
        self.check_sleepers(agent_runs.need_interpreters("3.15")[0])

    def test_sleepers_tail_calls(self):
        self.check_sleepers(self.tail_calls())

    def test_37(self):
        self.check("3.7")

    def test_39(self):
        self.check("3.9")

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

    def tail_calls(self):
        path = agent_runs.CACHE / "roots/built-3.14-tail-calls/bin/python3.14"
        if not path.exists():
            raise unittest.SkipTest("no CPython of tail calls (./dev test-roots, with clang 19)")
        return agent_runs.Interpreter("3.14", str(path))

    def test_tail_calls(self):
        self.check_interpreter(self.tail_calls())


if __name__ == "__main__":
    unittest.main()
