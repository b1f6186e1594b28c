# SPDX-License-Identifier: Apache-2.0
"""Every CPython that there is, against what its own sys._getframe() says."""

import glob
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest
import urllib.request

import agent_runs
import pprof
from agent_runs import BUILD, Run
from python_checks import Checks


class Versions(Checks, unittest.TestCase):
    def each(self, name, check):
        interpreters = agent_runs.need_interpreters(name)
        if "AGENT_EVERY_INTERPRETER" not in os.environ:
            interpreters = interpreters[:1]  # the others, in roots, are for ./dev test-full
        for interpreter in interpreters:
            with self.subTest(str(interpreter)):
                print(f"CPython {name}: {interpreter}")
                check(interpreter)

    def check(self, name):
        self.each(name, self.check_stacks)
        if name.endswith("d"):
            return  # what differs in a debug build is where things are
        for check in (self.check_shares, self.check_torn, self.check_lines, self.check_children, self.check_executes,
                      self.check_exits, self.check_threads):
            self.each(name, check)
        if int(name.rstrip("dt").split(".")[1]) >= 12:
            self.each(name, self.check_subinterpreter)

    def test_37(self):
        self.check("3.7")

    def test_38(self):
        self.check("3.8")

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

    def test_39d(self):
        self.check("3.9d")

    def test_311d(self):
        self.check("3.11d")

    def test_313d(self):
        self.check("3.13d")

    def test_314d(self):
        self.check("3.14d")

    def test_315d(self):
        self.check("3.15d")

    def test_313t(self):
        self.check("3.13t")

    def test_314t(self):
        self.check("3.14t")

    def test_315t(self):
        self.check("3.15t")


class TopRate(Checks, unittest.TestCase):
    """As fast as one core allows, and still no stack that cannot have been."""

    def sample(self, seconds, runs, enough):
        """At least `enough` samples of flutter.py, in so many runs at most."""
        impossible = samples = 0
        for _ in range(runs):
            run = self.run_on(self.interpreter(), "flutter.py", str(seconds), rate=self.highest_rate())
            some, of = self.count_impossible(run.profile)
            impossible, samples = impossible + some, samples + of
            print(f"top rate: {some} impossible of {of}, {of / seconds:.0f} a second; {run.profile.comments[0]}")
            if samples >= enough:
                break
        self.assertLessEqual(impossible * 20_000, samples)
        self.assertGreaterEqual(samples, enough)

    @staticmethod
    def highest_rate():
        refused = subprocess.run([agent_runs.AGENT, "exec", "--sample-rate", "1e12", "true"], capture_output=True, text=True)
        return int(re.search(r" to (\d+)$", refused.stderr.strip())[1])

    @staticmethod
    def interpreter():
        for name in ("3.12", "3.13", "3.11"):
            if found := agent_runs.find_all_interpreters(name):
                return found[0]
        raise unittest.SkipTest("no CPython 3.11 to 3.13")

    def test_briefly(self):
        self.sample(2, runs=1, enough=300)

    def test_a_million(self):
        self.sample(20, runs=13, enough=1_000_000)


class Sleepers(unittest.TestCase):
    """--wall: a thread that sleeps is read where it sleeps, without a stop."""

    def check(self, name):
        interpreters = [i for i in agent_runs.find_all_interpreters(name) if i.root is None]
        if not interpreters:
            self.skipTest(f"no CPython {name}")
        run = Run(interpreters[0].command("threads.py", "1.5"), ["--sample-rate", "500", "--wall"])
        self.assertEqual(run.status, 0, run.stderr)
        kind = next(name for name, _ in run.profile.types if name.startswith("wall"))
        spent = run.profile.inclusive(kind).get("sleeper", 0) / 1e9
        print(f"CPython {name}: two threads slept for {spent:.2f} s of 1.5 s each")
        self.assertGreater(spent, 1.5)

    def test_38(self):
        self.check("3.8")

    def test_312(self):
        self.check("3.12")


class Embedded(unittest.TestCase):
    """In a program and from a library that are not called python, stripped, and not on the main thread."""

    SOURCE = ("import time\n"
              "def hot(until):\n"
              "    while time.monotonic() < until: pass\n"
              "hot(time.monotonic() + 1)\n")

    def check(self, name):
        libraries = [(i, file) for i in agent_runs.find_all_interpreters(name) if i.root is None
                     for file in glob.glob(f"{pathlib.Path(i.path).parents[1]}/lib/libpython{name}*.so.1.0")]
        if not libraries:
            self.skipTest(f"no CPython {name} with a shared library")
        interpreter, file = libraries[0]
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            engine = os.path.join(folder, "engine.so")
            subprocess.run(["strip", "-s", "-o", engine, file], check=True)
            environment = dict(os.environ, PYTHONHOME=str(pathlib.Path(interpreter.path).parents[1]))
            run = Run([str(BUILD / "bin" / "embedder"), engine, self.SOURCE], ["--sample-rate", "500"], env=environment)
        self.assertEqual(run.status, 0, run.stderr)
        share = run.profile.inclusive("cpu").get("hot", 0) / run.profile.total("cpu")
        print(f"CPython {name}: hot() has {share:.1%}")
        self.assertGreater(share, 0.5)  # the rest is the start of the interpreter
        stacks = [sample["stack"] for sample in run.profile.samples if sample["stack"][0][0] == "hot"]
        self.assertEqual({tuple(f[0] for f in stack) for stack in stacks}, {("hot", "<module>")})

    def test_37(self):
        self.check("3.7")

    def test_38(self):
        self.check("3.8")

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


class Uwsgi(unittest.TestCase):
    """The interpreter in a plugin of a server that is not called python, its requests in workers that it forks."""

    REQUESTS = 6

    def test_requests(self):
        root = agent_runs.CACHE / "roots" / "python-bookworm"
        if os.geteuid() != 0 or not (root / "usr/bin/uwsgi-core").exists():
            self.skipTest("no uwsgi-core in a root (./dev test-roots, as root)")
        server = agent_runs.Interpreter("3.11", "/usr/bin/uwsgi-core", root).in_root(
            "/usr/bin/uwsgi-core", "--plugin", "python3", "--http-socket", "127.0.0.1:0", "--master", "--processes", "2",
            "--wsgi-file", "/mnt/served.py")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            path = os.path.join(folder, "run.pb.gz")
            popen = subprocess.Popen([agent_runs.AGENT, "exec", "-o", path, "--sample-rate", "500", *server],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                port = self.wait_for_port(popen.stdout)
                for _ in range(self.REQUESTS):
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                        self.assertEqual(answer.read(), b"burnt")
                popen.send_signal(signal.SIGINT)  # passed on; it stops at once
                said = popen.communicate(timeout=20)[0]
            finally:
                popen.kill()
            profile = pprof.read(path)
        self.assertEqual(popen.returncode, 0, said)
        stacks = {tuple(f[0] for f in s["stack"]) for s in profile.samples if s["stack"][0][0] == "burn"}
        self.assertEqual(stacks, {("burn", "application")})
        spent = profile.inclusive("cpu")["burn"] / 1e9
        print(f"uWSGI: burn() has {spent:.3f} s of {self.REQUESTS * 0.3:.1f} s")
        self.assertAlmostEqual(spent, self.REQUESTS * 0.3, delta=0.06)

    @staticmethod
    def wait_for_port(lines):
        """The port that the kernel chose, when a worker is there."""
        port = None
        for line in lines:
            if found := re.search(r"bound to TCP address 127.0.0.1:(\d+)", line):
                port = int(found[1])
            if "spawned uWSGI worker" in line:
                return port
        raise AssertionError("uWSGI ended")


class TooOld(unittest.TestCase):
    """Said in one line; machine code is shown."""

    def check(self, name):
        interpreters = agent_runs.find_all_interpreters(name)
        if not interpreters:
            self.skipTest(f"no CPython {name}")
        run = Run([interpreters[0].path, "-c", "for i in range(6000000): pass"], ["--sample-rate", "500"])
        self.assertEqual(run.status, 0, run.stderr)
        said = [line for line in run.stderr.splitlines() if "CPython" in line]
        self.assertEqual(len(said), 1, run.stderr)
        self.assertRegex(said[0], f"machine code only: CPython {re.escape(name)}.* 3.7 to 3.15 are supported")
        names = run.profile.inclusive("cpu")
        self.assertTrue(any(name.startswith(("PyEval_Eval", "_PyEval_Eval")) for name in names), names)

    def test_27(self):
        self.check("2.7")

    def test_36(self):
        self.check("3.6")


if __name__ == "__main__":
    unittest.main()
