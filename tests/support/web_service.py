# SPDX-License-Identifier: Apache-2.0
"""The web service of tests/programs/dotnet, and load on it by wrk."""

import http.client
import json
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import unittest

import dotnet

# A collection for every 4 MB at the least, whatever caches the machine has (by themselves they are several times that).
GARBAGE = "DOTNET_GCgen0size=400000"
PATHS = ["/orders/20", "/report/20"]
LOAD = str(pathlib.Path(__file__).with_name("load.lua"))
DEADLINE = 20  # seconds until what must happen counts as not happening
FROZEN = 5  # seconds without a reply, which no busy machine alone makes of some hundred microseconds


def command():
    """Starts the service; skips the test, with the reason, where it cannot be run."""
    if not shutil.which("wrk"):
        raise unittest.SkipTest("no wrk in PATH (Debian: wrk)")
    start = dotnet.build("Service", "framework_dependent")
    runtimes = subprocess.run([start[0], "--list-runtimes"], capture_output=True, text=True, env=dotnet.environment()).stdout
    if "Microsoft.AspNetCore.App 10." not in runtimes:
        raise unittest.SkipTest(f"{start[0]} has no runtime Microsoft.AspNetCore.App 10")
    return ["env", GARBAGE, *start]


class WebService:
    """One that has begun to listen; `before` are the words before its command."""

    def __init__(self, start, before=()):
        self._errors = tempfile.TemporaryFile("w+")
        self.popen = subprocess.Popen([*before, *start], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors,
                                      text=True)
        try:
            if not select.select([self.popen.stdout], [], [], DEADLINE)[0]:
                raise AssertionError(f"the service is not ready within {DEADLINE} s: {self.errors()}")
            word, _, port = self.popen.stdout.readline().partition(" ")
            if word != "ready":
                raise AssertionError(f"the service ended, or said {word!r} first: {self.errors()}")
            self.port = int(port)
        except BaseException:
            self.kill()
            raise

    def get(self, path):
        """The reply, which is JSON; raises TimeoutError where the service is frozen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=FROZEN)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            assert reply.status == 200, f"{path}: {reply.status}"
            return json.loads(reply.read())
        finally:
            connection.close()

    def load(self, seconds, connections=8):
        """What load.lua prints. wrk does not tell of a request that has no reply when it ends: get() something then."""
        run = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={FROZEN}s", "-s", LOAD,
                              f"http://127.0.0.1:{self.port}", "--", *PATHS],
                             capture_output=True, text=True, timeout=seconds + DEADLINE)
        assert run.returncode == 0, run.stdout + run.stderr
        return json.loads(run.stdout.splitlines()[-1])

    def end(self):
        """Asks it to end; (exit status, what it printed)."""
        self.popen.send_signal(signal.SIGTERM)
        out, _ = self.popen.communicate(timeout=DEADLINE)
        return self.popen.returncode, out

    def errors(self):
        """What it, and the agent, have written to stderr."""
        self._errors.seek(0)
        return self._errors.read()

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()
