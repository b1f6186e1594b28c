# SPDX-License-Identifier: Apache-2.0
"""Stopping threads does no harm: every sample is taken with the thread stopped here (--pyspy-blocking)."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import agent_runs
import launching
from agent_runs import BUILD, PROGRAMS, Run

BLOCKING = ["--pyspy-blocking", "--sample-rate", "1000", "--log-level", "info"]


def longest_pause_ms(stderr):
    found = re.search(r"(\d+) threads were stopped.* longest (\d+) us", stderr)
    assert found, stderr
    return int(found[1]), int(found[2]) / 1000


class Stops(unittest.TestCase):
    def check_pauses(self, run, at_least):
        self.assertEqual(run.status, 0, run.stderr)
        stops, longest = longest_pause_ms(run.stderr)
        print(f"{stops} stops, longest {longest} ms")
        self.assertGreater(stops, at_least)
        self.assertLess(longest, 200)

    def test_shares_are_true(self):
        run = Run([agent_runs.any_interpreter(), str(PROGRAMS / "shares.py"), "4"], BLOCKING)
        self.check_pauses(run, 1000)
        total, sampled = run.profile.total("cpu"), run.profile.inclusive("cpu")
        truth = run.truth()
        for name, spent in truth["functions"].items():
            self.assertAlmostEqual(sampled[name] / total, spent / truth["process"], delta=0.03, msg=name)

    def test_storm_of_multithreaded_execs(self):
        run = Run([agent_runs.any_interpreter(), "-S", "-E", str(PROGRAMS / "storm.py"), "exec", "60"], BLOCKING)
        self.check_pauses(run, 50)

    def test_storm_of_vforks(self):
        run = Run([agent_runs.any_interpreter(), str(PROGRAMS / "storm.py"), "vfork", "600"], BLOCKING)
        self.check_pauses(run, 100)

    def test_sampler_stopped_while_it_holds_a_thread(self):
        """SIGSTOP again and again until it hits a hold: the watchdog ends that sampler, and no thread stands still for long."""
        python = agent_runs.any_interpreter()
        flags = ["--pyspy-blocking", "--sample-rate", "10000", "--summary"]
        with tempfile.TemporaryDirectory() as folder:
            run = launching.Run(
                [launching.AGENT, "exec", "-o", f"{folder}/p.pb.gz", *flags, python, str(PROGRAMS / "spin.py"), "8"]
            )
            self.addCleanup(run.kill)
            hits = 0
            end = time.monotonic() + 6
            while hits < 3 and time.monotonic() < end:
                samplers = [p for p in launching.children_of(run.keeper) if p != run.launcher]
                if not samplers:
                    continue  # the next one is started after a pause
                try:
                    os.kill(samplers[0], signal.SIGSTOP)
                    give_up = time.monotonic() + 0.2
                    while not launching.is_gone(samplers[0]) and time.monotonic() < give_up:
                        pass
                    hits += launching.is_gone(samplers[0])
                    os.kill(samplers[0], signal.SIGCONT)
                except ProcessLookupError:
                    pass
            status, out, err = run.end()
        self.assertEqual(status, 0, err)
        gap = float(re.search(r'"longest_gap": ([0-9.e-]+)', out)[1])
        print(f"{hits} samplers ended in a hold, longest gap {gap * 1000:.1f} ms")
        self.assertGreater(hits, 0)
        self.assertIn("agent: ", err)
        self.assertLess(gap, 0.25)

    def test_set_uid_programs_keep_their_rights(self):
        """10,000 (2,000 in the short run) set-uid execs at 1 kHz, without CAP_SYS_PTRACE."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to make a set-uid program")
        python = "/usr/bin/python3"
        version = agent_runs._version_of(python)
        if version not in agent_runs.SUPPORTED:
            self.skipTest(f"an ordinary user needs a supported /usr/bin/python3, here: {version}")
        count = int(os.environ.get("AGENT_SETUID_EXECS", "2000"))
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            folder.chmod(0o777)
            for source, target in ((BUILD / "bin" / "effective_root", "helper"), (launching.AGENT, "agent"),
                                   (PROGRAMS / "setuid_storm.py", "storm.py")):
                shutil.copy(source, folder / target)
                (folder / target).chmod(0o755)
            (folder / "helper").chmod(0o4755)
            user = dict(user=65534, group=65534, extra_groups=[], cwd=name)
            plain = subprocess.run([folder / "helper"], **user, check=False)
            if plain.returncode != 0:
                self.skipTest("set-uid does not work in the temporary folder (nosuid)")
            run = subprocess.run(
                [folder / "agent", "exec", *BLOCKING, "-o", folder / "p.pb.gz", python, folder / "storm.py",
                 folder / "helper", str(count)], **user, capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        print(run.stdout, run.stderr)
        self.assertIn("lost 0\n", run.stdout)
        self.assertGreater(longest_pause_ms(run.stderr)[0], 100)  # the parent is stopped all the time


if __name__ == "__main__":
    unittest.main()
