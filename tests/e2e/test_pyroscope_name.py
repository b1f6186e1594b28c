# SPDX-License-Identifier: Apache-2.0
"""The binary under the old agent's name: its defaults, all its flags and variables."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import receiver
from agent_runs import AGENT

BUSY = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exit 3"
FLAGS = ["-log-level", "debug", "-application-name=shop", "-sample-rate", "0", "-spy-name=debugspy", "-detect-subprocesses=false",
         "-pyspy-blocking", "-rbspy-blocking", "-php-spy-args", "direct_mem=true,php_awk_pattern=libphp", "-auth-token=t",
         "-basic-auth-user=u", "-basic-auth-password=p", "-tenant-id=t", "-header", "X-One=1", "-upstream-threads=4",
         "-upstream-request-timeout=10s", "-tag", "zone=eu=1", "-tag=rack=7", "-no-root-drop"]
VARIABLES = {"LOG_LEVEL": "debug", "APPLICATION_NAME": "shop", "SAMPLE_RATE": "0", "SPY_NAME": "auto", "DETECT_SUBPROCESSES": "true",
             "PYSPY_BLOCKING": "false", "RBSPY_BLOCKING": "true", "PHP_SPY_ARGS": "direct_mem=true", "AUTH_TOKEN": "t",
             "BASIC_AUTH_USER": "u", "BASIC_AUTH_PASSWORD": "p", "TENANT_ID": "t", "UPSTREAM_THREADS": "4",
             "UPSTREAM_REQUEST_TIMEOUT": "10s", "NO_ROOT_DROP": "true"}
# In a network of its own, where nobody else is on port 4040.
ALONE = """
import os, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
import receiver
with receiver.Receiver(port=4040) as server:
    status = subprocess.run(sys.argv[1:]).returncode
    import json
    print(json.dumps([status, [p["labels"]["service_name"] for p in server.profiles()], server.errors()]))
"""


class PyroscopeName(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.pyroscope = self.folder / "pyroscope"
        self.pyroscope.symlink_to(os.path.abspath(AGENT))

    def run_it(self, *flags, environment=(), program=("sh", "-c", BUSY)):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYROSCOPE_")} | dict(environment)
        return subprocess.run([self.pyroscope, "exec", *flags, *program], capture_output=True, text=True, timeout=60, env=clean)

    def test_every_flag(self):
        with receiver.Receiver() as server:
            run = self.run_it(f"-server-address={server.address}/", *FLAGS)
            self.assertEqual(run.returncode, 3, run.stderr)
            self.assertEqual({(p["labels"]["service_name"], p["labels"]["zone"], p["labels"]["rack"]) for p in server.profiles()},
                             {("shop", "eu=1", "7")})
        self.assertEqual(sorted(line for line in run.stderr.splitlines() if "has no effect" in line), [
            f"agent: {name} has no effect any more"
            for name in ("no-root-drop", "php-spy-args", "rbspy-blocking", "upstream-threads")])

    def test_every_variable(self):
        with receiver.Receiver() as server:
            variables = {f"PYROSCOPE_{name}": value for name, value in VARIABLES.items()}
            run = self.run_it(environment={**variables, "PYROSCOPE_SERVER_ADDRESS": server.address})
            self.assertEqual(run.returncode, 3, run.stderr)
            self.assertEqual({p["labels"]["service_name"] for p in server.profiles()}, {"shop"})
        self.assertNotIn("passed over", run.stderr)
        self.assertEqual(len([line for line in run.stderr.splitlines() if "has no effect" in line]), 4, run.stderr)

    def test_silence(self):
        run = self.run_it("-no-logging", "-rbspy-blocking", "-server-address=http://127.0.0.1:1")
        self.assertEqual((run.returncode, run.stderr), (3, ""))

    def test_without_an_address_it_sends_to_localhost(self):
        if os.geteuid() != 0 or not shutil.which("ip"):
            self.skipTest("needs root and ip (Debian: iproute2), for a network of its own")
        run = subprocess.run(["unshare", "-n", sys.executable, "-c", ALONE, self.pyroscope, "exec", "sh", "-c", BUSY],
                             env=os.environ | {"PYTHONPATH": os.path.dirname(receiver.__file__)}, capture_output=True,
                             text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(json.loads(run.stdout.splitlines()[-1]), [3, ["sh"], []], run.stderr)


if __name__ == "__main__":
    unittest.main()
