# SPDX-License-Identifier: Apache-2.0
"""The unwind information of .NET for arm64, which runs on no machine of ours: that of the runtime's precompiled libraries,
against what their code does.
"""

import pathlib
import re
import subprocess
import unittest

import agent_runs
import dotnet

CHECK = agent_runs.BUILD / "bin" / "dotnet_arm64_unwind"
COUNTS = re.compile(r"^(\d+) functions, (\d+) not read, (\d+) not run; .* in (\d+) epilogs: (\d+) differ$", re.MULTILINE)


class Arm64(unittest.TestCase):
    def check(self, version):
        folder = pathlib.Path(dotnet.build("Shares", "arm64", version)[0]).parent
        run = subprocess.run([CHECK, *sorted(folder.glob("*.dll"))], capture_output=True, text=True, timeout=250)
        print(f".NET {version}: {run.stdout}{run.stderr}")
        functions, unread, lost, epilogs, wrong = (int(count) for count in COUNTS.search(run.stdout).groups())
        self.assertGreater(functions, 100_000)
        self.assertGreater(epilogs, functions)
        self.assertEqual((unread, wrong), (0, 0))
        self.assertLess(lost, functions / 1000)
        self.assertEqual(run.returncode, 0)

    def test_10_images(self):
        self.check("10")

    def test_9_images(self):
        self.check("9")
