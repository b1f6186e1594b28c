# SPDX-License-Identifier: Apache-2.0
"""The uploader alone (upload_probe: made-up windows) against the test receiver, through every fault that it knows."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from receiver import PUSH, Receiver, deaf_address, free_port

PROBE = pathlib.Path(os.environ.get("AGENT_BUILD", "build/release")) / "bin" / "upload_probe"


class ProbeTest(unittest.TestCase):
    def setUp(self):
        signal.signal(signal.SIGALRM, self._give_up)
        signal.alarm(100)
        self.addCleanup(signal.alarm, 0)

    def _give_up(self, *_):
        raise AssertionError(f"{self.id()} hangs")

    def receiver(self, **options):
        receiver = Receiver(**options)
        self.addCleanup(receiver.stop)
        return receiver

    def start(self, *addresses, env=None, **options):
        """`options`: as upload_probe takes them."""
        arguments = [f"{name}={value}" for name, value in options.items()]
        popen = subprocess.Popen([PROBE, *arguments, *addresses], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env=os.environ | (env or {}))
        self.addCleanup(popen.kill)
        return popen

    def finish(self, popen):
        out, self.stderr = popen.communicate(timeout=60)
        self.assertEqual(popen.returncode, 0, self.stderr)
        return json.loads(out)

    def push(self, *addresses, **options):
        """The counters of a whole run."""
        return self.finish(self.start(*addresses, **options))


class Push(ProbeTest):
    def test_windows_arrive_as_they_are(self):
        receiver = self.receiver()
        counters = self.push(receiver.address, windows=3)
        self.assertEqual((counters["windows_sent"], counters["windows_lost"], counters["windows_retried"]), (3, 0, 0))
        self.assertEqual(counters["samples_sent"], 90)
        self.assertEqual(counters["last_error"], "")
        self.assertEqual(self.stderr, "")
        requests = receiver.requests()
        self.assertEqual([request["status"] for request in requests], [200] * 3)
        self.assertEqual({request["path"] for request in requests}, {PUSH})
        self.assertEqual(requests[0]["content_type"], "application/proto")
        self.assertEqual(requests[0]["content_encoding"], "gzip")
        self.assertRegex(requests[0]["user_agent"], r"^agent/\d+\.\d+\.\d+$")
        self.assertEqual(requests[0]["authorization"], "")
        profiles = receiver.profiles()
        self.assertEqual(len({profile["id"] for profile in profiles}), 3)
        for profile in profiles:
            self.assertEqual(profile["labels"], {"__name__": "process_cpu", "service_name": "probe.service",
                                                 "hostname": "probe-host", "region": "a=b"})
            self.assertEqual((profile["samples"], profile["cpu_ns"]), (30, 300_000_000))
            self.assertEqual((profile["duration_ns"], profile["period"]), (10_000_000_000, 10_000_000))
            self.assertEqual(profile["sample_labels"], 0)  # a server makes a series of each value
            self.assertEqual(profile["functions"]["main"], {"samples": 30, "cpu_ns": 300_000_000})
            self.assertEqual(profile["functions"]["work_1"], {"samples": 10, "cpu_ns": 100_000_000})
            self.assertFalse(profile["duplicate"])
            self.assertLess(abs(time.time() - 10 - profile["time_ns"] / 1e9), 60)

    def test_prefix_and_slash_and_credentials(self):
        receiver = self.receiver()
        address = receiver.address.replace("http://", "http://me:se%40cret@") + "/prefix/"
        self.assertEqual(self.push(address)["windows_sent"], 1)
        (request,) = receiver.requests()
        self.assertEqual(request["path"], "/prefix" + PUSH)
        self.assertEqual(request["authorization"], "Basic bWU6c2VAY3JldA==")

    def test_ipv6(self):
        try:
            receiver = self.receiver(host="::1")
        except RuntimeError:
            self.skipTest("no IPv6 on this machine")
        self.assertEqual(self.push(receiver.address)["windows_sent"], 1)
        self.assertEqual(len(receiver.profiles()), 1)

    def test_host_name(self):
        receiver = self.receiver()
        self.assertEqual(self.push(f"http://localhost:{receiver.port}")["windows_sent"], 1)

    def test_a_window_too_large_is_sent_in_parts(self):
        receiver = self.receiver()
        counters = self.push(receiver.address, stacks=20_000, finish_ms=20_000)
        self.assertEqual((counters["windows_lost"], counters["samples_sent"]), (0, 200_000))
        profiles = receiver.profiles()
        self.assertGreater(len(profiles), 1)
        self.assertEqual(sum(profile["samples"] for profile in profiles), 200_000)
        self.assertFalse(any(profile["duplicate"] for profile in profiles))


class Faults(ProbeTest):
    def test_faults_that_pass_cost_nothing(self):
        for kind in ("refuse", "cut", "429", "408", "500", "503"):
            with self.subTest(kind):
                receiver = self.receiver(fault=kind, count=2)
                counters = self.push(receiver.address, finish_ms=20_000)
                self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (1, 0))
                self.assertEqual(counters["windows_retried"], 2)
                requests = receiver.requests()
                self.assertEqual([request["fault"] for request in requests], [kind, kind, ""])
                self.assertEqual(len({request["crc"] for request in requests}), 1)  # the same bytes at every try
                self.assertEqual(self.stderr.count("cannot send to"), 1, self.stderr)
                self.assertEqual(self.stderr.count("again\n"), self.stderr.count("trying again\n") + 1, self.stderr)
                if kind == "429":
                    self.assertGreaterEqual(requests[1]["at_ns"] - requests[0]["at_ns"], 1_000_000_000)

    def test_a_lost_answer_makes_no_second_profile(self):
        receiver = self.receiver(fault="lost", count=1)
        counters = self.push(receiver.address)
        self.assertEqual((counters["windows_sent"], counters["windows_retried"]), (1, 1))
        # The server took it twice, and can tell: it drops profiles whose labels and time it has.
        self.assertEqual([profile["duplicate"] for profile in receiver.profiles()], [False, True])

    def test_refusals_are_final_and_told_once(self):
        for kind in ("400", "401", "404", "413", "422"):
            with self.subTest(kind):
                receiver = self.receiver(fault=kind)
                counters = self.push(receiver.address, windows=3)
                self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (0, 3))
                self.assertEqual((counters["windows_retried"], counters["samples_lost"]), (0, 90))
                self.assertEqual(len(receiver.requests()), 3)
                self.assertEqual(self.stderr.count("\n"), 1, self.stderr)
                self.assertIn("this is the test fault " + kind, self.stderr)
                self.assertIn(kind, counters["last_error"])

    def test_redirects_are_not_followed(self):
        receiver = self.receiver(fault="redirect")
        counters = self.push(receiver.address)
        self.assertEqual((counters["windows_lost"], len(receiver.requests())), (1, 1))
        self.assertIn("http://elsewhere.invalid/", self.stderr)

    def test_a_web_page_is_no_success(self):
        receiver = self.receiver(fault="page")
        counters = self.push(receiver.address)
        self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (0, 1))
        self.assertIn("text/html", self.stderr)

    def test_a_slow_server_is_waited_for(self):
        receiver = self.receiver(fault="slow:1500")
        counters = self.push(receiver.address)
        self.assertEqual((counters["windows_sent"], counters["windows_retried"]), (1, 0))
        self.assertGreater(counters["finish_seconds"], 1)

    def test_writing_does_not_wait_for_the_server(self):
        receiver = self.receiver(fault="hang")
        started = time.monotonic()
        counters = self.push(receiver.address, windows=50, interval_ms=20, finish_ms=100)
        self.assertLess(time.monotonic() - started, 8)
        self.assertEqual((counters["windows_lost"], counters["windows_unknown"]), (49, 1))

    def test_a_server_that_comes_back(self):
        receiver = self.receiver(fault="503")
        popen = self.start(receiver.address, windows=5, interval_ms=200, finish_ms=40_000)
        receiver.wait_for(len, "a request")
        receiver.set_fault()
        counters = self.finish(popen)
        self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (5, 0))
        self.assertEqual(len({profile["time_ns"] for profile in receiver.profiles()}), 5)

    def test_a_server_that_starts_later(self):
        port = free_port()
        popen = self.start(f"http://127.0.0.1:{port}", windows=3, interval_ms=300, finish_ms=40_000)
        time.sleep(0.5)
        receiver = self.receiver(port=port)
        counters = self.finish(popen)
        self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (3, 0))
        self.assertEqual(len(receiver.profiles()), 3)

    def test_a_full_queue_merges_what_was_never_sent(self):
        receiver = self.receiver(fault="503")
        popen = self.start(receiver.address, windows=40, interval_ms=20, finish_ms=40_000, queue_bytes=3000)
        receiver.wait_for(lambda requests: requests, "a request")
        time.sleep(1.5)
        receiver.set_fault()
        counters = self.finish(popen)
        self.assertEqual((counters["samples_sent"], counters["samples_lost"]), (40 * 30, 0))
        self.assertGreater(counters["windows_merged"], 10)
        profiles = receiver.profiles()
        self.assertEqual(sum(profile["samples"] for profile in profiles), 40 * 30)
        self.assertEqual(sum(profile["functions"]["work_1"]["samples"] for profile in profiles), 40 * 10)
        self.assertFalse(any(profile["duplicate"] for profile in profiles))

    def test_nothing_older_than_an_hour_is_sent(self):
        receiver = self.receiver()
        counters = self.push(receiver.address, age_s=3700)
        self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (0, 1))
        self.assertEqual(receiver.requests(), [])


class End(ProbeTest):
    """What the end of a program must not wait for."""

    def assert_in_time(self, counters, seconds):
        self.assertLess(counters["finish_seconds"], seconds + 0.4)

    def test_nothing_to_send_takes_no_time(self):
        receiver = self.receiver()
        counters = self.push(receiver.address, windows=1, interval_ms=1000)
        self.assertEqual(counters["windows_sent"], 1)
        self.assertLess(counters["finish_seconds"], 0.2)

    def test_dead_server(self):
        counters = self.push(f"http://127.0.0.1:{free_port()}", finish_ms=700)
        self.assertEqual((counters["windows_lost"], counters["samples_lost"]), (1, 30))
        self.assert_in_time(counters, 0.7)
        self.assertIn("no connection", self.stderr)

    def test_password_is_not_shown(self):
        counters = self.push(f"http://me:geheim@127.0.0.1:{free_port()}", finish_ms=300)
        self.assertIn("http://127.0.0.1", self.stderr)
        self.assertNotIn("geheim", self.stderr + json.dumps(counters))

    def test_server_that_does_not_answer(self):
        for kind in ("hang", "drip", "slow:30000"):
            with self.subTest(kind):
                receiver = self.receiver(fault=kind)
                counters = self.push(receiver.address, windows=3, interval_ms=200, finish_ms=700)
                self.assertEqual(counters["windows_lost"] + counters["windows_unknown"], 3)
                self.assertEqual(counters["windows_unknown"], 1)
                self.assert_in_time(counters, 0.7)

    def test_server_that_takes_no_connection(self):
        with deaf_address() as address:
            counters = self.push(address, interval_ms=300, finish_ms=700)
        self.assertEqual(counters["windows_lost"], 1)
        self.assert_in_time(counters, 0.7)

    def test_unknown_host(self):
        counters = self.push("http://no-such-host.invalid:4040", finish_ms=700)
        self.assertEqual(counters["windows_lost"], 1)
        self.assert_in_time(counters, 0.7)

    def test_last_window_is_sent_at_once(self):
        # The first try fails; what the server asks to wait (1 s) is not waited for at the end.
        receiver = self.receiver(fault="429", count=1)
        counters = self.push(receiver.address, windows=1, interval_ms=700, finish_ms=700)
        self.assertEqual(counters["windows_sent"], 1)
        self.assert_in_time(counters, 0.7)


class Tls(ProbeTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.make_authority("ca")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self.folder)

    def make_authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
                     "-subj", f"/CN=test {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def tls_address(self, names="IP:127.0.0.1,DNS:localhost"):
        (self.folder / "extensions").write_text(f"subjectAltName={names}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server",
                     "-keyout", "server.key", "-out", "server.csr")
        self.openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                     "-days", 2, "-extfile", "extensions", "-out", "server.pem")
        return self.receiver(certificate=self.folder / "server.pem", key=self.folder / "server.key").address

    def push_with(self, address, **variables):
        env = {name: str(self.folder / value) for name, value in variables.items()}
        return self.push(address, finish_ms=4000, env={"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""} | env)

    def test_authority_of_the_environment(self):
        address = self.tls_address()
        self.assertEqual(self.push_with(address, SSL_CERT_FILE="ca.pem")["windows_sent"], 1)
        by_name = address.replace("127.0.0.1", "localhost")
        self.assertEqual(self.push_with(by_name, SSL_CERT_FILE="ca.pem")["windows_sent"], 1)

    def test_authority_in_a_folder(self):
        address = self.tls_address()
        (self.folder / "authorities").mkdir()
        (self.folder / "authorities" / "ca.pem").write_bytes((self.folder / "ca.pem").read_bytes())
        self.openssl("rehash", "authorities")
        self.assertEqual(self.push_with(address, SSL_CERT_DIR="authorities")["windows_sent"], 1)
        self.make_authority("other")
        counters = self.push_with(address, SSL_CERT_DIR="authorities", SSL_CERT_FILE="other.pem")
        self.assertEqual(counters["windows_sent"], 1)

    def test_unknown_authority(self):
        address = self.tls_address()
        self.make_authority("other")
        for variables in ({"SSL_CERT_FILE": "other.pem"}, {}):
            counters = self.push_with(address, **variables)
            self.assertEqual((counters["windows_sent"], counters["windows_lost"] + counters["windows_unknown"]), (0, 1))
            self.assertIn("not trusted", self.stderr)
            self.assertIn("SSL_CERT_FILE", self.stderr)

    def test_certificate_of_another_host(self):
        counters = self.push_with(self.tls_address("DNS:elsewhere.invalid"), SSL_CERT_FILE="ca.pem")
        self.assertEqual((counters["windows_sent"], counters["windows_lost"] + counters["windows_unknown"]), (0, 1))
        self.assertIn("another name", self.stderr)

    def test_authorities_that_cannot_be_read(self):
        counters = self.push_with(self.tls_address(), SSL_CERT_FILE="missing.pem")
        self.assertEqual(counters["windows_sent"], 0)
        self.assertIn("SSL_CERT_FILE", self.stderr)

    def test_server_without_tls(self):
        address = self.receiver().address.replace("http:", "https:")
        self.assertEqual(self.push_with(address, SSL_CERT_FILE="ca.pem")["windows_sent"], 0)
        self.assertIn("TLS", self.stderr)


if __name__ == "__main__":
    unittest.main()
