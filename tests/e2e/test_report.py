# SPDX-License-Identifier: Apache-2.0
"""`agent report` and `agent diff` on files of a real run, beside go tool pprof and json."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import agent_runs
import pprof
from agent_runs import AGENT, PROGRAMS


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        names = ("run.pb.gz", "run.html", "run.folded", "run.json", "run.speedscope.json", "run.gecko.json", "run.svg")
        outputs = [word for name in names for word in ("-o", cls.folder / name)]
        subprocess.run([AGENT, "exec", "--sample-rate", "500", *outputs, agent_runs.any_interpreter(),
                        PROGRAMS / "shares.py", "2"], check=True, capture_output=True, timeout=60)
        cls.profile = pprof.read(cls.folder / "run.pb.gz")

    def agent(self, *arguments, status=0):
        run = subprocess.run([AGENT, *arguments], capture_output=True, text=True, timeout=60, cwd=self.folder)
        self.assertEqual(run.returncode, status, run.stderr)
        return run

    def self_times(self):
        """Function → CPU nanoseconds of samples that have it as their leaf."""
        sums = {}
        for sample in self.profile.samples:
            if sample["stack"]:
                name = sample["stack"][0][0]
                sums[name] = sums.get(name, 0) + sample["values"]["cpu"]
        return sums

    def test_all_files_tell_the_same(self):
        summary = json.loads((self.folder / "run.json").read_text())
        self.assertEqual(summary["measure"], "cpu")
        self.assertEqual(round(summary["total"] * 1e9), self.profile.total("cpu"))
        ours = {}
        for function in summary["functions"]:
            ours[function["name"]] = ours.get(function["name"], 0) + round(function["self"] * 1e9)
        self.assertEqual({k: v for k, v in ours.items() if v}, {k: v for k, v in self.self_times().items() if v})
        speedscope = json.loads((self.folder / "run.speedscope.json").read_text())
        self.assertEqual(sum(sum(p["weights"]) for p in speedscope["profiles"]), self.profile.total("cpu"))
        gecko = json.loads((self.folder / "run.gecko.json").read_text())
        counted = sum(1 for t in gecko["threads"] for s in t["samples"]["data"])
        self.assertGreaterEqual(counted, self.profile.total("samples"))  # and one for each time without a sample
        self.assertIn("tokenize", (self.folder / "run.svg").read_text())

    def test_from_the_file_as_from_the_run(self):
        for name in ("run.folded", "run.json", "run.speedscope.json", "run.gecko.json", "run.svg"):
            with self.subTest(name):
                self.agent("report", "run.pb.gz", "-o", "again-" + name)
                ours, again = ((self.folder / n).read_text() for n in (name, "again-" + name))
                if name == "run.json":
                    ours, again = json.loads(ours), json.loads(again)
                    self.assertEqual(again["facts"].pop("unnamed"), [])  # its modules are not in the file
                    del ours["facts"]["unnamed"]
                elif name in ("run.speedscope.json", "run.gecko.json"):
                    # The tables' order follows the samples'.
                    ours, again = sorted(ours), sorted(again)
                self.assertEqual(again, ours)
        self.agent("report", "run.folded", "-o", "twice.folded")
        self.assertEqual((self.folder / "twice.folded").read_text(), (self.folder / "run.folded").read_text())

    def test_the_table_is_that_of_go_tool_pprof(self):
        if shutil.which("go") is None:
            self.skipTest("no Go")
        table = self.agent("report", "run.pb.gz").stdout
        run = subprocess.run(["go", "tool", "pprof", "-top", "-unit=ns", "-nodefraction=0", "run.pb.gz"],
                             cwd=self.folder, capture_output=True, text=True, timeout=120)
        self.assertEqual(run.returncode, 0, run.stderr)
        theirs = {}
        for line in run.stdout.splitlines():
            if match := re.match(r"\s*(\d+)(?:ns)?\s+\S+%\s+\S+%\s+(\d+)(?:ns)?\s+\S+%\s+(.*)", line):
                theirs[match[3]] = (int(match[1]), int(match[2]))
        total = self.profile.total("cpu")
        for name in ("tokenize", "checksum", "Renderer.draw"):
            ours = re.search(rf"^\s*(\S+) %\s+(\S+) %\s+\S+\s+{re.escape(name)} \(", table, re.MULTILINE)
            self.assertIsNotNone(ours, table)
            for shown, true in zip(ours.groups(), theirs[name]):
                self.assertAlmostEqual(float(shown), 100 * true / total, delta=0.0051)

    def test_several_add_up(self):
        self.agent("report", "run.pb.gz", "run.pb.gz", "-o", "sum.pb.gz")
        total = pprof.read(self.folder / "sum.pb.gz")
        self.assertEqual(total.total("cpu"), 2 * self.profile.total("cpu"))
        self.assertEqual(total.total("samples"), 2 * self.profile.total("samples"))

    def test_diff(self):
        lines = [line for line in (self.folder / "run.folded").read_text().splitlines() if ";tokenize " not in line]
        (self.folder / "less.folded").write_text("\n".join(lines + ["a;brand_new 7\n"]))
        text = self.agent("diff", "run.folded", "less.folded").stdout
        self.assertRegex(text, r"\d+ samples before, \d+ samples after")
        self.assertRegex(text, r" 0\.00 %\s+-\S+\s+gone\s+-\S+\s+tokenize")
        self.assertRegex(text, r"new\s+\S+\s+brand_new")
        self.agent("diff", "run.pb.gz", "run.pb.gz", "-o", "same.html")
        self.assertIn("<html", (self.folder / "same.html").read_text())
        fault = self.agent("diff", "run.folded", "run.pb.gz", "--by", "cpu", status=125).stderr
        self.assertIn("run.folded has no cpu time", fault)
        self.assertIn("page only", self.agent("diff", "run.folded", "run.folded", "-o", "x.folded", status=125).stderr)

    def test_bad_files_are_told(self):
        (self.folder / "heap.pb.gz").write_bytes(bytes.fromhex("0a040801100232003203616263320563707562"))
        for name, told in (("nowhere.pb.gz", "No such file"), ("heap.pb.gz", "heap.pb.gz"), ("/", "/")):
            with self.subTest(name):
                run = self.agent("report", name, status=1)
                self.assertEqual(run.stdout, "")
                self.assertEqual(len(run.stderr.splitlines()), 1)
                self.assertIn(told, run.stderr)
        self.assertIn("no files given", self.agent("report", status=125).stderr)

    def test_a_reader_that_has_seen_enough(self):
        run = subprocess.run(f"{AGENT} report run.pb.gz | head -n 1; echo ${{PIPESTATUS[0]}}", shell=True,
                             executable="/bin/bash", cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.stderr, "")
        self.assertRegex(run.stdout, r"^\d+ samples, .*\n(0|141)\n$")


if __name__ == "__main__":
    unittest.main()
