# SPDX-License-Identifier: Apache-2.0
"""Machine code without a name: counted by reason, told at the end."""

import shutil
import subprocess
import tempfile
import unittest

from agent_runs import BUILD, Run


class Unnamed(unittest.TestCase):
    FLAGS = ["--summary", "--log-level", "debug", "--sample-rate", "500"]

    def lines(self, run, part):
        found = [line for line in run.stderr.splitlines() if part in line]
        print("\n".join(found))
        return found

    def test_stripped(self):
        if shutil.which("strip") is None:
            raise unittest.SkipTest("no strip")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            program = f"{folder}/stripped"
            subprocess.run(["strip", "-o", program, str(BUILD / "bin" / "native_truth")], check=True)
            build_id = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True).stdout
            build_id = build_id.split("Build ID: ")[1].split()[0] if "Build ID: " in build_id else None
            steps = BUILD / "tests" / "programs" / "steps"
            run = Run([program, "2", str(steps / "plugin1.so"), str(steps / "plugin2.so")], self.FLAGS)
        self.assertEqual(run.status, 0, run.stderr)
        told = self.lines(run, "% of the samples are in code without a name")
        self.assertEqual(len(told), 1, run.stderr)
        self.assertIn(f" in {program}: stripped, and no debug file was found; keep its symbols", told[0])
        share = float(told[0].split("agent: ")[1].split(" %")[0])
        unnamed = sum(s["values"]["samples"] for s in run.profile.samples if s["stack"][0][0].startswith("stripped+0x"))
        self.assertAlmostEqual(share, 100 * unnamed / run.profile.total("samples"), delta=1)
        each = self.lines(run, f"{program} ({'build id ' + build_id if build_id else 'no build id'}): ")
        self.assertEqual(len(each), 1, run.stderr)
        self.assertRegex(each[0], r"\d+ addresses without a name, \d+ samples in them: stripped")

    def test_not_told_where_all_has_names(self):
        steps = BUILD / "tests" / "programs" / "steps"
        program = str(BUILD / "bin" / "native_truth")
        run = Run([program, "2", str(steps / "plugin1.so"), str(steps / "plugin2.so")], self.FLAGS)
        self.assertEqual(run.status, 0, run.stderr)
        self.assertEqual(self.lines(run, "% of the samples are in code without a name"), [])


if __name__ == "__main__":
    unittest.main()
