# SPDX-License-Identifier: Apache-2.0
"""--listen: profiles for those who come for them, the figures of the run, and nothing that holds up the program's end."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import pprof
import receiver
from agent_runs import AGENT, PROGRAMS
from launching import children_of

SPIN = str(PROGRAMS / "spin.py")


class Pull(unittest.TestCase):
    def start(self, *flags, seconds=30, listen=None):
        self.port = receiver.free_port()
        listen = listen or f":{self.port}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYROSCOPE_")}
        popen = subprocess.Popen([AGENT, "exec", "--listen", listen, *flags, sys.executable, SPIN, str(seconds)],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.addCleanup(self.stop, popen)
        self.wait_for_health()
        return popen

    def stop(self, popen):
        if popen.poll() is None:
            popen.terminate()
        popen.communicate(timeout=30)

    def get(self, path, timeout=20):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=timeout) as answer:
            return answer.headers, answer.read()

    def wait_for_health(self):
        end = time.monotonic() + 20
        while True:
            try:
                return self.assertEqual(self.get("/healthz")[1], b"ok\n")
            except urllib.error.URLError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def profile(self, seconds):
        headers, body = self.get(f"/debug/pprof/profile?seconds={seconds}")
        self.assertEqual(headers["Content-Type"], "application/octet-stream")
        return pprof.Profile(body)

    def test_a_profile_of_the_seconds_that_were_asked_for(self):
        self.start()
        begin = time.time_ns()
        profile = self.profile(2)
        took = (time.time_ns() - begin) / 1e9
        self.assertLess(took, 5)
        self.assertGreaterEqual(profile.time_nanos, begin)
        self.assertAlmostEqual(profile.duration_nanos / 1e9, 2, delta=0.5)
        cpu = sum(sample["values"]["cpu"] for sample in profile.samples) / 1e9
        print(f"{took:.2f} s for 2, {cpu:.2f} s of CPU in {profile.duration_nanos / 1e9:.2f} s")
        self.assertLessEqual(cpu, profile.duration_nanos / 1e9 * 1.1 + 0.1)
        self.assertGreater(cpu, 0)

    def test_two_at_a_time_beside_a_server(self):
        with receiver.Receiver() as server:
            popen = self.start("--server-address", server.address, seconds=4)
            results = []
            threads = [threading.Thread(target=lambda: results.append(self.profile(1))) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(results), 2)
            self.assertTrue(all(profile.samples for profile in results))
            popen.communicate(timeout=30)
            # Windows that were cut for others are whole all the same.
            self.assertEqual(server.errors(), [])
            self.assertFalse(any(p["duplicate"] for p in server.profiles()))

    def test_metrics_tell_of_the_server_without_its_password(self):
        with receiver.Receiver() as server:
            address = server.address.replace("://", "://me:geheim@")
            self.start("--server-address", address, "--upload-interval", "1s")
            server.wait_for(lambda requests: len(requests) >= 2, "two windows")
            time.sleep(0.2)
            headers, body = self.get("/metrics")
            text = body.decode()
        self.assertTrue(headers["Content-Type"].startswith("text/plain"))
        self.assertNotIn("geheim", text)
        self.assertGreater(int(re.search(r"^agent_samples_total (\d+)$", text, re.M)[1]), 0)
        sent = re.search(rf'^agent_upload_profiles_total\{{server="{server.address}",result="sent",cause=""\}} (\d+)$', text, re.M)
        self.assertGreaterEqual(int(sent[1]), 1)
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) agent_\w+ .+|agent_\w+(\{[^{}]*\})? \d+)$')

    def samples_taken(self):
        return int(re.search(r"^agent_samples_total (\d+)$", self.get("/metrics")[1].decode(), re.M)[1])

    def lost_by_death(self, popen):
        """Samples taken when the sampler is killed, and those that the keeper calls lost."""
        end = time.monotonic() + 30
        while self.samples_taken() < 2500:
            self.assertLess(time.monotonic(), end)
        taken = self.samples_taken()
        os.kill(children_of(popen.pid)[0], signal.SIGKILL)
        err = os.read(popen.stderr.fileno(), 10_000).decode()
        while "samples are lost" not in err:
            err += os.read(popen.stderr.fileno(), 10_000).decode()
        return taken, int(re.search(r"(\d+) samples are lost", err)[1])

    def test_what_a_death_loses(self):
        flags = ("--sample-rate", "1000", "--upload-interval", "1s", "--application-name", "shop")
        dead = f"http://127.0.0.1:{receiver.free_port()}"
        taken, lost = self.lost_by_death(self.start("--server-address", dead, *flags))
        self.assertGreaterEqual(lost, taken, "what waited for a server that is not there counts as kept")
        with receiver.Receiver() as live:
            taken, lost = self.lost_by_death(self.start("--server-address", live.address, *flags))
            self.assertLess(lost, taken)
        with tempfile.TemporaryDirectory() as folder:
            taken, lost = self.lost_by_death(self.start("--server-address", dead, "--spool", folder, *flags))
            self.assertLess(lost, taken)

    def test_bad_questions(self):
        self.start()
        for query in ("seconds=0", "seconds=601", "seconds=x", "seconds=-1"):
            with self.assertRaises(urllib.error.HTTPError) as raised:
                self.get(f"/debug/pprof/profile?{query}")
            self.assertEqual(raised.exception.code, 400)
            raised.exception.close()
        with self.assertRaises(urllib.error.HTTPError) as raised:
            self.get("/debug/pprof/heap")
        self.assertEqual(raised.exception.code, 404)
        raised.exception.close()

    def test_only_loopback_unless_told_otherwise(self):
        self.start()
        text = pathlib.Path("/proc/net/tcp").read_text() + pathlib.Path("/proc/net/tcp6").read_text()
        places = re.findall(rf"\s([0-9A-F]+):{self.port:04X}\s+[0-9A-F]+:0000 0A", text)
        self.assertEqual(places, ["0100007F"])

    def test_the_end_waits_for_nobody(self):
        popen = self.start(seconds=3)
        # One waits for a profile of a minute, one does not read, one says nothing.
        result = []
        waiting = threading.Thread(target=lambda: result.append(self.profile(60)))
        waiting.start()
        with socket.create_connection(("127.0.0.1", self.port)) as silent:
            silent.sendall(b"GET /metrics HTTP/1.1\r\n")
            end = None
            for line in popen.stdout:
                end = time.monotonic()
            popen.wait(timeout=30)
            late = time.monotonic() - end
        waiting.join()
        print(f"{late:.2f} s after the program's last word")
        self.assertLess(late, 1.5)
        self.assertEqual(popen.returncode, 0)
        self.assertTrue(result[0].samples)

    def test_an_address_that_is_taken_is_told_and_costs_nothing(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            run = subprocess.run([AGENT, "exec", "--listen", f":{taken.getsockname()[1]}", sys.executable, "-c", "print(1)"],
                                 capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, run.stdout), (0, "1\n"))
        self.assertIn("cannot listen", run.stderr)


if __name__ == "__main__":
    unittest.main()
