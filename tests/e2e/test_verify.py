# SPDX-License-Identifier: Apache-2.0
"""`agent verify` against the test receiver: what it says of servers that work, refuse, cannot be asked, or change things."""

import os
import re
import subprocess
import unittest

import receiver
from agent_runs import AGENT


class Verify(unittest.TestCase):
    def verify(self, *arguments, env=None):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYROSCOPE_", "OTEL_"))}
        run = subprocess.run([AGENT, "verify", *arguments], capture_output=True, text=True, check=False, timeout=60,
                             env=environment | (env or {}))
        print(run.stdout, run.stderr)
        return run

    def receive(self, **options):
        server = receiver.Receiver(**options)
        self.addCleanup(server.stop)
        return server

    def test_a_server_that_works(self):
        server = self.receive()
        run = self.verify("--server-address", server.address, "--application-name", "shop", "--tag", "a=b")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        lines = run.stdout.splitlines()
        self.assertEqual(lines[0], server.address)
        self.assertEqual([re.split(r"  +", line.strip())[0] for line in lines[1:]],
                         ["takes profiles", "gives them back", "as they were sent", "labels as they were sent", "query for the UI"])
        self.assertIn('process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="shop"}', lines[-1])
        (profile,) = server.profiles()
        self.assertEqual(profile["cpu_ns"], 1_000_000_000)
        self.assertEqual(profile["labels"]["a"], "b")

    def test_every_format(self):
        for format in ("push", "pprof", "folded"):
            with self.subTest(format):
                run = self.verify("--server-address", self.receive().address, "--upload-format", format)
                self.assertEqual(run.returncode, 0)
                self.assertIn(f"yes, as {format}\n", run.stdout)

    def test_what_the_way_changes_is_told(self):
        # /ingest has no way to quote a comma.
        run = self.verify("--server-address", self.receive().address, "--upload-format", "folded", "--tag", "a=x,y")
        self.assertEqual(run.returncode, 1)
        self.assertIn('labels as they were sent  no: a is "x_y", was "x,y"', run.stdout)

    def test_a_server_of_old(self):
        run = self.verify("--server-address", self.receive(formats="folded").address)
        self.assertEqual(run.returncode, 0)
        self.assertIn("yes, as folded, not as push (status 404", run.stdout)

    def test_a_receiver_that_cannot_be_asked(self):
        run = self.verify("--server-address", self.receive(formats="push,noquery").address)
        self.assertEqual(run.returncode, 0)
        self.assertIn("cannot be asked", run.stdout)

    def test_what_is_refused_says_why_and_what_to_do(self):
        run = self.verify("--server-address", self.receive(fault="401").address.replace("://", "://me:geheim@"))
        self.assertEqual(run.returncode, 1)
        self.assertIn("no: status 401", run.stdout)
        self.assertIn("--auth-token-file", run.stdout)
        self.assertNotIn("geheim", run.stdout + run.stderr)

    def test_nobody_there(self):
        run = self.verify("--server-address", f"http://127.0.0.1:{receiver.free_port()}")
        self.assertEqual(run.returncode, 1)
        self.assertIn("no connection", run.stdout)

    def test_by_the_environment_and_several(self):
        one, two = self.receive(), self.receive(fault="404")
        run = self.verify(env={"PYROSCOPE_SERVER_ADDRESS": f"{one.address},{two.address}"})
        self.assertEqual(run.returncode, 1)
        self.assertIn(one.address, run.stdout)
        self.assertIn(two.address, run.stdout)

    def test_without_a_server(self):
        run = self.verify()
        self.assertEqual(run.returncode, 125)
        self.assertIn("PYROSCOPE_SERVER_ADDRESS", run.stderr)


if __name__ == "__main__":
    unittest.main()
