# SPDX-License-Identifier: Apache-2.0
"""Greenlets: the stack of the one that runs, and no other's."""

import subprocess
import unittest

from agent_runs import PROGRAMS, Run

PYTHON = "/usr/bin/python3"  # of the system, with the package python3-greenlet


class Greenlets(unittest.TestCase):
    def test_turns(self):
        if subprocess.run([PYTHON, "-c", "import greenlet"], capture_output=True).returncode != 0:
            self.skipTest(f"{PYTHON} has no greenlet (package python3-greenlet)")
        run = Run([PYTHON, str(PROGRAMS / "greenlets.py"), "3"], ["--sample-rate", "1000"])
        self.assertEqual(run.status, 0, run.stderr)
        truth, stacks = run.truth(), {}
        for sample in run.profile.samples:
            names = tuple(frame[0] for frame in sample["stack"])
            if "turn" in names:
                stacks[names] = stacks.get(names, 0) + sample["values"]["cpu"]
        total = sum(truth.values())
        for name, true in truth.items():
            own = {names: cpu for names, cpu in stacks.items() if names[0] == f"{name}_work"}
            self.assertEqual({names[:4] for names in own}, {(f"{name}_work", "turn", name, "<lambda>")}, own)
            share = sum(own.values()) / sum(stacks.values())
            print(f"{name}: sampled {share:.2%}, true {true / total:.2%}")
            self.assertAlmostEqual(share, true / total, delta=0.03)
        for names in stacks:
            self.assertFalse("north" in names and "south" in names, names)


if __name__ == "__main__":
    unittest.main()
