# SPDX-License-Identifier: Apache-2.0
"""Threads that run and block in turn see no EINTR that they would not see without the agent."""

import re
import subprocess
import tempfile
import unittest

import launching
from agent_runs import BUILD


class BlockingCalls(unittest.TestCase):
    def check(self, *flags):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(
                [launching.AGENT, "exec", "--log-level", "info", "-o", f"{folder}/p.pb.gz", *flags,
                 str(BUILD / "bin" / "blocking_calls"), "6"], capture_output=True, text=True, check=False)
        print(run.stdout)
        self.assertNotRegex(run.stdout, r" [1-9]\d* interrupted")
        self.assertEqual(run.returncode, 0, run.stderr)
        stops = re.search(r"(\d+) threads were stopped", run.stderr)
        self.assertGreater(int(stops[1]), 300, run.stderr)

    def test_at_200_hz(self):
        self.check("--sample-rate", "200")

    def test_at_2000_hz(self):
        self.check("--sample-rate", "2000")

    def test_wall(self):
        self.check("--sample-rate", "1000", "--wall")


if __name__ == "__main__":
    unittest.main()
