# SPDX-License-Identifier: Apache-2.0
"""--kernel: the kernel's frames of threads that sleep, and what is said where it does not show them."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from agent_runs import AGENT, Run

SLEEP = ["sh", "-c", "sleep 1; exit 7"]


def may_read():
    try:
        pathlib.Path("/proc/self/stack").read_text(encoding="ascii")
    except OSError:
        return False
    return True


class KernelFrames(unittest.TestCase):
    def sleeping_stacks(self, run):
        stacks = [[frame[0] for frame in sample["stack"]] for sample in run.profile.samples if sample["values"].get("wall")]
        return [stack for stack in stacks if any(name.endswith(" [syscall]") for name in stack)]

    def test_under_the_system_call(self):
        if not may_read():
            raise unittest.SkipTest("/proc/self/stack cannot be read: not root")
        run = Run(SLEEP, ["--wall", "--kernel", "--sample-rate", "200"])
        self.assertEqual(run.status, 7, run.stderr)
        sleeping = self.sleeping_stacks(run)
        self.assertTrue(sleeping)
        # A stop on the way to sleep makes it another call: restart_syscall.
        calls = {"clock_nanosleep [syscall]", "restart_syscall [syscall]"}
        slept = [stack for stack in sleeping if calls.intersection(stack)]
        self.assertTrue(slept, sleeping)
        for stack in slept:
            at = next(at for at, name in enumerate(stack) if name in calls)
            print(" < ".join(stack[: at + 2]))
            self.assertGreater(at, 1, stack)
            self.assertTrue(all(name.endswith(" [kernel]") for name in stack[:at]), stack)
            self.assertFalse(any(name.endswith(" [kernel]") for name in stack[at:]), stack)
            # The kernel's function for the call is below the call, what it calls in turn is further from it.
            self.assertTrue(any("nanosleep" in name for name in stack[:at]), stack)

    def test_not_without_the_flag(self):
        run = Run(SLEEP, ["--wall", "--sample-rate", "200"])
        self.assertFalse([name for name in run.profile.inclusive("wall") if name.endswith(" [kernel]")])
        self.assertTrue(self.sleeping_stacks(run))

    def test_says_that_it_needs_wall(self):
        run = Run(SLEEP, ["--kernel"])
        self.assertEqual(run.status, 7)
        self.assertEqual(run.stderr.count("--kernel"), 1, run.stderr)
        self.assertIn("add --wall", run.stderr)

    def test_refused(self):
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            raise unittest.SkipTest("needs root and setpriv, to drop what it has")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            agent = shutil.copy(AGENT, folder)
            os.chmod(folder, 0o777)
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
            run = subprocess.run(
                [*command, agent, "exec", "--wall", "--kernel", "-o", f"{folder}/p.folded", *SLEEP],
                capture_output=True, text=True, timeout=110, cwd=folder, check=False)
            print(run.stderr)
            self.assertEqual(run.returncode, 7)
            self.assertEqual(run.stderr.count("--kernel"), 1, run.stderr)
            self.assertIn("SYS_ADMIN", run.stderr)
            profile = pathlib.Path(folder, "p.folded").read_text(encoding="utf-8")
            self.assertNotIn("[kernel]", profile)
            self.assertIn("[syscall]", profile)


if __name__ == "__main__":
    unittest.main()
