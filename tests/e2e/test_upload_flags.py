# SPDX-License-Identifier: Apache-2.0
"""The flags and variables of the delivery, through the whole agent: names and labels, credentials and who sees them, the spool."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import launching
import receiver
from agent_runs import AGENT, PROGRAMS

SPIN = str(PROGRAMS / "spin.py")
OURS = ("PYROSCOPE_", "OTEL_", "SSL_CERT_", "POD_", "NODE_NAME", "CONTAINER_NAME")


class Flags(unittest.TestCase):
    def receive(self, **options):
        server = receiver.Receiver(**options)
        self.addCleanup(server.stop)
        return server

    def start(self, *flags, env=None, program=(SPIN, "1.2")):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
        popen = subprocess.Popen([AGENT, "exec", *flags, sys.executable, *program], env=environment | (env or {}),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self._end, popen)
        return popen

    def _end(self, popen):
        if popen.poll() is None:
            popen.terminate()
        popen.communicate(timeout=30)

    def run_agent(self, *flags, **options):
        popen = self.start(*flags, **options)
        _, self.stderr = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 0, self.stderr)


class Identity(Flags):
    def labels(self, *flags, env=None):
        server = self.receive()
        self.run_agent("--server-address", server.address, *flags, env=env)
        self.assertEqual(server.errors(), [])
        return server.profiles()[0]["labels"]

    def test_name_of_the_program(self):
        self.assertEqual(self.labels()["service_name"], "spin")

    def test_opentelemetrys_variables(self):
        labels = self.labels(env={"OTEL_SERVICE_NAME": "my shop", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod%20a,service.name=no"})
        self.assertEqual((labels["service_name"], labels["deployment_environment"]), ("my_shop", "prod a"))

    def test_what_goes_before_what(self):
        env = {"OTEL_SERVICE_NAME": "otel", "PYROSCOPE_APPLICATION_NAME": "shop{a=1,b=1,c=1}", "PYROSCOPE_LABELS": "b=2,c=2,x-y=z"}
        labels = self.labels("--tag", "c=3", env=env)
        self.assertEqual((labels["service_name"], labels["a"], labels["b"], labels["c"], labels["x_y"]), ("shop", "1", "2", "3", "z"))

    def test_a_pod(self):
        labels = self.labels(env={"POD_NAME": "shop-1", "POD_NAMESPACE": "web", "NODE_NAME": "n", "CONTAINER_NAME": "main"})
        self.assertEqual([labels.get(k) for k in ("pod", "namespace", "node", "container", "hostname")],
                         ["shop-1", "web", "n", "main", None])


class Secrets(Flags):
    def test_the_list_of_processes_shows_none(self):
        server = self.receive()
        address = server.address.replace("://", "://me:geheim1@")
        popen = self.start("--server-address", address, "--auth-token", "geheim2", "--basic-auth-password=geheim3",
                           "-header", "X-Probe=geheim4", "--upload-interval", "1s", program=(SPIN, "3", "geheim2"))
        self.assertEqual(popen.stdout.readline(), "ready\n")
        server.wait_for(lambda requests: requests, "a window")
        sampler = launching.children_of(popen.pid)[0]
        for pid in (popen.pid, sampler, launching.children_of(sampler)[0]):
            shown = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            self.assertIn(b"--auth-token", shown)
            self.assertNotIn(b"geheim", shown)
        # The program's own arguments are its own matter.
        program = launching.children_of(launching.children_of(sampler)[0])[0]
        self.assertIn(b"geheim2", pathlib.Path(f"/proc/{program}/cmdline").read_bytes())
        request = server.requests()[0]
        self.assertEqual((request["authorization"], request["x_probe"]), ("Bearer geheim2", "geheim4"))

    def test_a_bad_one_is_not_shown(self):
        for flags in (("--auth-token", "geheim\n"), ("--header", "geheim"), ("--server-address", "ftp://me:geheim@host")):
            run = subprocess.run([AGENT, "exec", *flags, "true"], capture_output=True, text=True, check=False)
            self.assertEqual(run.returncode, 125)
            self.assertIn(flags[0], run.stderr)
            self.assertNotIn("geheim", run.stderr)

    def test_variables(self):
        server = self.receive()
        self.run_agent(env={"PYROSCOPE_SERVER_ADDRESS": server.address, "PYROSCOPE_BASIC_AUTH_USER": "me", "PYROSCOPE_BASIC_AUTH_PASSWORD": "pw",
                            "PYROSCOPE_TENANT_ID": "team", "PYROSCOPE_HTTP_HEADERS": '{"X-Probe": "seen"}'})
        request = server.requests()[0]
        self.assertEqual((request["authorization"], request["tenant"], request["x_probe"]), ("Basic bWU6cHc=", "team", "seen"))


class Servers(Flags):
    def test_two_servers_and_one_of_them_of_old(self):
        new, old = self.receive(), self.receive(formats="folded")
        self.run_agent("--server-address", new.address, "--server-address", old.address)
        # Once for each format that the old one does not know, whatever the number of windows.
        self.assertEqual([line.count(old.address) for line in self.stderr.splitlines()], [1, 1], self.stderr)
        self.assertEqual(sum(p["cpu_ns"] for p in new.profiles()) // 10**7, sum(p["cpu_ns"] for p in old.profiles()) // 10**7)

    def test_bad_values_are_told(self):
        for flags in (("--upload-format", "x"), ("--upstream-request-timeout", "1h"), ("--listen", "x"), ("--ca-file", "/no"), ("--tenant-id", "")):
            run = subprocess.run([AGENT, "exec", *flags, "true"], capture_output=True, text=True, check=False)
            self.assertEqual(run.returncode, 125, flags)
            self.assertIn(flags[0], run.stderr)


class Spool(Flags):
    def test_windows_of_a_sampler_that_was_killed_arrive_after_the_restart(self):
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            server = self.receive(fault="503")
            flags = ("--server-address", server.address, "--spool", folder, "--upload-interval", "1s", "--application-name", "shop")
            popen = self.start(*flags, program=(SPIN, "60"))
            self.assertEqual(popen.stdout.readline(), "ready\n")
            end = time.monotonic() + 30
            while len(list(pathlib.Path(folder).rglob("*.window"))) < 2:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            spooled = [path.name for path in pathlib.Path(folder).rglob("*.window")]
            os.kill(popen.pid, signal.SIGKILL)  # and all that hangs on it
            popen.communicate()
            self.assertEqual(server.profiles(), [])
            server.set_fault()
            self.run_agent(*flags)
            times = {profile["time_ns"] for profile in server.profiles()}
            for name in spooled:
                self.assertIn(int(name.split("-")[0]), times, "spooled, and did not arrive")
            self.assertEqual(server.errors(), [])
            self.assertEqual(list(pathlib.Path(folder).rglob("*.window")), [])


if __name__ == "__main__":
    unittest.main()
