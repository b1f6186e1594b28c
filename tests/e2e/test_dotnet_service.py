# SPDX-License-Identifier: Apache-2.0
"""A web service that collects garbage all the time goes on as if it were alone: nothing hangs, nothing is lost, and it ends
as it does by itself. (The runtime stops its threads for a collection by a signal; who keeps that back freezes it for good.)"""

import json
import os
import tempfile
import unittest

import agent_runs
import pprof
import web_service
from test_dotnet_shares import DotnetTest

SECONDS = 6
CONNECTIONS = 8
HANDLERS = ["Truth.Service.Orders", "Truth.Service.Garbage", "Truth.Service.MakeReport (async)", "Truth.Service.Count"]


class Service(DotnetTest):
    def start(self, before=()):
        service = web_service.WebService(web_service.command(), before)
        self.addCleanup(service.kill)
        return service

    def end_of(self, service):
        """Exit status, and the one line that it prints at the end."""
        status, out = service.end()
        lines = out.splitlines()
        self.assertEqual(len(lines), 1, out + service.errors())
        return status, json.loads(lines[0])

    def check(self, rate):
        alone = self.start()
        alone.get("/report/20")
        status_alone, told_alone = self.end_of(alone)
        self.assertEqual((told_alone["begun"], told_alone["answered"]), (1, 1))

        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            path = os.path.join(folder, "service.pb.gz")
            service = self.start([agent_runs.AGENT, "exec", "-o", path, "--sample-rate", str(rate), "--log-level", "debug"])
            before = service.get("/status")
            load = service.load(SECONDS, CONNECTIONS)
            after = service.get("/status")  # within FROZEN seconds
            report = service.get("/report/20")
            status, told = self.end_of(service)
            said = service.errors()
            self.profile = pprof.read(path)

        print(f"{load}\n{told}\n{[line for line in said.splitlines() if 'were stopped' in line or 'left out' in line]}")
        self.assertEqual(report, {"orders": 20, "sum": 95, "first": "customer 0"})
        self.check_replies(load, told)
        collections = after["collections"][0] - before["collections"][0]
        self.assertGreater(collections * 1000 / (after["milliseconds"] - before["milliseconds"]), 50)
        self.assertEqual(status, status_alone, said)
        self.assertEqual(told.keys(), told_alone.keys())
        # The keeper ends a sampler that holds a thread for too long, and one that does not come to its end.
        self.assertNotRegex(said, "the sampler (hung|did not|was ended)|not profiled|without profiling")
        self.check_profile(told, rate)

    def check_replies(self, load, told):
        self.assertEqual(set(load["failed"].values()), {0}, load)
        self.assertGreater(load["replies"], 100 * SECONDS)
        self.assertLess(load["longest_ms"], web_service.FROZEN * 1000)
        self.assertEqual(told["answered"], told["begun"])
        # wrk hangs up on the last request of each connection; three are ours.
        self.assertGreaterEqual(told["begun"], load["replies"] + 3)
        self.assertLessEqual(told["begun"], load["replies"] + 3 + CONNECTIONS)

    def check_profile(self, told, rate):
        self.total, self.inclusive = self.profile.total("cpu"), self.profile.inclusive("cpu")
        self.late_share = agent_runs.late_ticks(self.profile) * (1e9 / rate) / self.profile.duration_nanos
        print(f"  {self.profile.total('samples')} samples; profile {self.total / 1e9:.3f} s, program {told['process'] / 1e9:.3f} s")
        # The program's own clock stops a little before its end.
        self.assertAlmostEqual(self.total / told["process"], 1, delta=0.03)
        for name in HANDLERS:
            share = self.inclusive.get(name, 0) / self.total
            print(f"  {name}: {share:.2%}")
            self.assertGreater(share, 0.02, name)
        self.check_whole()

    def test_at_100_hz(self):
        self.check(100)

    def test_at_1000_hz(self):
        self.check(1000)


if __name__ == "__main__":
    unittest.main()
