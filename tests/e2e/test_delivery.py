# SPDX-License-Identifier: Apache-2.0
"""The uploader alone (upload_probe) over every format, credential and network that it knows, and through a campaign of faults."""

import base64
import contextlib
import http.server
import json
import os
import pathlib
import random
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import unittest

from receiver import PUSH, Receiver, free_port
from test_uploader import PROBE, ProbeTest


class Folder(ProbeTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="agent-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def assert_sent(self, counters, windows, samples):
        self.assertEqual((counters["windows_sent"], counters["samples_sent"]), (windows, samples), self.stderr)
        self.assertEqual((counters["windows_lost"], counters["windows_unknown"]), (0, 0))


class Formats(ProbeTest):
    def check(self, receiver, counters, windows):
        self.assertEqual(receiver.errors(), [])
        self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (windows, 0), self.stderr)

    def test_ingest_pprof(self):
        receiver = self.receiver()
        self.check(receiver, self.push(receiver.address, windows=2, format="pprof"), 2)
        for request in receiver.requests():
            self.assertEqual((request["path"], request["format"], request["content_encoding"]), ("/ingest", "pprof", ""))
        for profile in receiver.profiles():
            self.assertEqual(profile["labels"]["service_name"], "probe.service")
            self.assertEqual(profile["labels"]["region"], "a=b")
            self.assertEqual((profile["samples"], profile["cpu_ns"]), (30, 300_000_000))

    def test_ingest_folded(self):
        receiver = self.receiver()
        begin = time.time_ns()
        self.check(receiver, self.push(receiver.address, windows=2, format="folded"), 2)
        for profile in receiver.profiles():
            # The name's ".cpu" is the profile's type there.
            self.assertEqual(profile["labels"]["service_name"], "probe.service")
            self.assertEqual(profile["cpu_ns"], 300_000_000)
            self.assertEqual(profile["functions"]["work_1"]["cpu_ns"], 100_000_000)
            self.assertLess(abs(begin - 10_000_000_000 - profile["time_ns"]), 60_000_000_000)

    def test_otlp(self):
        receiver = self.receiver()
        self.check(receiver, self.push(receiver.address, windows=2, format="otlp"), 2)
        self.assertEqual({request["path"] for request in receiver.requests()}, {"/v1development/profiles"})
        by_type = {}
        for profile in receiver.profiles():
            by_type.setdefault(profile["types"][0], []).append(profile)
            self.assertEqual(profile["labels"]["service_name"], "probe.service")
            self.assertEqual(profile["duration_ns"], 10_000_000_000)
        self.assertEqual({p["period_type"] for p in by_type["cpu/nanoseconds"]}, {"cpu/nanoseconds"})
        self.assertEqual([p["cpu_ns"] for p in by_type["cpu/nanoseconds"]], [300_000_000] * 2)
        self.assertEqual([p["samples"] for p in by_type["samples/count"]], [30] * 2)
        self.assertEqual(by_type["samples/count"][0]["functions"]["work_1"]["samples"], 10)

    def check_falls_back(self, formats, expected):
        receiver = self.receiver(formats=formats)
        self.check(receiver, self.push(receiver.address, windows=3, format="auto"), 3)
        taken = [request["format"] for request in receiver.requests() if request.get("status") == 200]
        self.assertEqual(taken, [expected] * 3)
        refused = [request["format"] for request in receiver.requests() if "status" not in request]
        self.assertEqual(len(refused), len(set(refused)), "asked again for what the server does not know")
        self.assertEqual(self.stderr.count("does not know"), len(refused), self.stderr)
        self.assertEqual({p["cpu_ns"] for p in receiver.profiles()}, {300_000_000})

    def test_auto_takes_push(self):
        self.check_falls_back("push,pprof,folded", "push")

    def test_auto_falls_back_to_pprof(self):
        self.check_falls_back("pprof,folded", "pprof")

    def test_auto_falls_back_to_folded(self):
        self.check_falls_back("folded", "folded")

    def test_auto_falls_back_from_a_web_page(self):
        receiver = self.receiver(fault="page", count=1)
        counters = self.push(receiver.address, windows=2, format="auto")
        self.check(receiver, counters, 2)
        self.assertEqual([request["format"] for request in receiver.requests()], ["push", "pprof", "pprof"])

    def test_a_server_that_knows_nothing_is_told_of_once(self):
        receiver = self.receiver(formats="none")
        counters = self.push(receiver.address, windows=2, format="auto")
        self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (0, 2))
        self.assertEqual(self.stderr.count("refused a profile"), 1, self.stderr)
        self.assertIn("--upload-format", self.stderr)


class Servers(ProbeTest):
    def test_each_has_its_own_queue(self):
        good, hung, dead = self.receiver(), self.receiver(fault="hang"), f"http://127.0.0.1:{free_port()}"
        counters = self.push(hung.address, good.address, dead, windows=5, interval_ms=100, finish_ms=700)
        first, second, third = counters["servers"]
        self.assertEqual((second["windows_sent"], second["windows_lost"], second["windows_unknown"]), (5, 0, 0))
        self.assertEqual((first["windows_sent"], first["windows_lost"] + first["windows_unknown"]), (0, 5))
        self.assertEqual(third["windows_lost"], 5)
        self.assertEqual(len(good.profiles()), 5)
        # They came while the other one hung, not at the end.
        times = [request["at_ns"] for request in good.requests()]
        self.assertGreater(times[-1] - times[0], 300_000_000)
        self.assertLess(counters["finish_seconds"], 1.1)

    def test_one_connection_carries_them_all(self):
        receiver = self.receiver()
        self.push(receiver.address, windows=5, interval_ms=50)
        self.assertEqual(len({request["connection"] for request in receiver.requests()}), 1)

    def test_a_connection_that_the_server_closed_costs_no_error(self):
        receiver = self.receiver()
        # httplib's server closes after 5 s.
        counters = self.push(receiver.address, windows=2, interval_ms=6000)
        self.assertEqual((counters["windows_sent"], counters["windows_retried"]), (2, 0))
        self.assertEqual(self.stderr, "")
        self.assertEqual(len({request["connection"] for request in receiver.requests()}), 2)

    def test_unix_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            receiver = self.receiver(unix=pathlib.Path(folder) / "pyroscope.sock")
            receiver.requests()  # it is there
            counters = self.push(receiver.address, windows=2)
            self.assertEqual(counters["windows_sent"], 2, self.stderr)
            self.assertEqual({r["host"] for r in receiver.requests()}, {"localhost"})

    def test_unix_socket_without_a_server(self):
        counters = self.push("unix:///tmp/no-such.sock", finish_ms=300)
        self.assertEqual(counters["windows_lost"], 1)
        self.assertIn("nobody listens", self.stderr)


class Answers(ProbeTest):
    """Ways to misbehave that test_uploader has not."""

    def test_every_redirect_is_refused(self):
        for status in (301, 302, 303, 307, 308):
            with self.subTest(status):
                receiver = self.receiver(fault=f"redirect:{status}")
                counters = self.push(receiver.address, format="auto")
                self.assertEqual((counters["windows_lost"], len(receiver.requests())), (1, 1))
                self.assertIn("Redirects are not followed", self.stderr)

    def test_an_answer_cut_anywhere_is_no_answer(self):
        for size in (0, 1, 500):
            with self.subTest(size):
                receiver = self.receiver(fault=f"taken-cut:{size}", count=1)
                counters = self.push(receiver.address, finish_ms=8000)
                self.assertEqual((counters["windows_sent"], counters["windows_retried"]), (1, 1))
                self.assertEqual([p["duplicate"] for p in receiver.profiles()], [False, True])

    def test_slow_bodies_are_waited_for(self):
        receiver = self.receiver(fault="slow-body:1000")
        self.assertEqual(self.push(receiver.address)["windows_sent"], 1)

    def test_a_request_has_its_time(self):
        receiver = self.receiver(fault="hang", count=1)
        counters = self.push(receiver.address, request_ms=300, finish_ms=8000, interval_ms=1500)
        self.assertEqual((counters["windows_sent"], counters["windows_retried"]), (1, 1))

    def test_retry_after_is_kept(self):
        receiver = self.receiver(fault="503:2", count=1)
        # The end would cut the wait short.
        self.push(receiver.address, interval_ms=4000)
        first, second = receiver.requests()
        self.assertGreaterEqual(second["at_ns"] - first["at_ns"], 2_000_000_000)

    def test_a_window_at_which_the_server_always_fails_is_given_up(self):
        receiver = self.receiver(fault="500", count=8)
        counters = self.push(receiver.address, finish_ms=60_000)
        self.assertEqual(counters["samples_lost_by_cause"], {"tries spent": 30})
        self.assertEqual(len(receiver.requests()), 8)


class Credentials(Folder):
    def authorization(self, **options):
        receiver = self.receiver()
        self.assert_sent(self.push(receiver.address, **options), 1, 30)
        return receiver.requests()[0]

    def basic(self, text):
        return "Basic " + base64.b64encode(text.encode()).decode()

    def test_token(self):
        self.assertEqual(self.authorization(token="se.cret")["authorization"], "Bearer se.cret")

    def test_token_goes_before_user(self):
        self.assertEqual(self.authorization(token="t", user="u", password="p")["authorization"], "Bearer t")

    def test_token_file_is_read_anew(self):
        receiver = self.receiver()
        file = self.folder / "token"
        file.write_text("one\n")
        popen = self.start(receiver.address, windows=2, interval_ms=2000, token_file=file)
        receiver.wait_for(lambda requests: len(requests) == 1, "the first window")
        file.write_text("two\n")
        self.finish(popen)
        self.assertEqual([r["authorization"] for r in receiver.requests()], ["Bearer one", "Bearer two"])

    def test_token_file_without_a_token(self):
        receiver = self.receiver()
        counters = self.push(receiver.address, token_file=self.folder / "missing", finish_ms=300)
        self.assertEqual((counters["windows_lost"], receiver.requests()), (1, []))
        self.assertIn("--auth-token-file", self.stderr)

    def test_basic(self):
        self.assertEqual(self.authorization(user="me", password="a:b")["authorization"], self.basic("me:a:b"))

    def test_basic_goes_before_that_of_the_address(self):
        receiver = self.receiver()
        self.push(receiver.address.replace("://", "://other:x@"), user="me", password="p")
        self.assertEqual(receiver.requests()[0]["authorization"], self.basic("me:p"))

    def test_tenant_and_header(self):
        request = self.authorization(tenant="team-a", header="seen")
        self.assertEqual((request["tenant"], request["x_probe"]), ("team-a", "seen"))

    def test_no_secret_in_any_line(self):
        for fault in ("401", "redirect", "hang", "500"):
            receiver = self.receiver(fault=fault)
            counters = self.push(receiver.address.replace("://", "://me:geheim1@"), token="geheim2", header="geheim3", finish_ms=300)
            self.assertNotIn("geheim", self.stderr + json.dumps(counters))


class Certificates(Folder):
    def setUp(self):
        super().setUp()
        self.authority("ca")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self.folder)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
                     "-subj", f"/CN=test {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def certificate(self, name, ca="ca", days=2):
        (self.folder / "extensions").write_text("subjectAltName=IP:127.0.0.1,DNS:pyroscope.test\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                     "-days", days, "-extfile", "extensions", "-out", f"{name}.pem")
        return {"certificate": self.folder / f"{name}.pem", "key": self.folder / f"{name}.key"}

    def push_with(self, receiver, **options):
        env = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}
        return self.push(receiver.address, finish_ms=4000, env=env, **options)

    def test_ca_file(self):
        receiver = self.receiver(**self.certificate("server"))
        self.assert_sent(self.push_with(receiver, ca=self.folder / "ca.pem", windows=3), 3, 90)
        self.assertEqual(len({request["connection"] for request in receiver.requests()}), 1)

    def test_expired_certificate(self):
        # It ends in the second in which it begins; OpenSSL 3.5 refuses an earlier end.
        self.certificate("server")
        self.openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                     "-days", "0", "-extfile", "extensions", "-out", "server.pem")
        receiver = self.receiver(certificate=self.folder / "server.pem", key=self.folder / "server.key")
        self.assertEqual(self.push_with(receiver, ca=self.folder / "ca.pem")["windows_lost"], 1)
        self.assertIn("expired", self.stderr)
        self.assertEqual(receiver.requests(), [])

    def test_another_authority(self):
        self.authority("other")
        receiver = self.receiver(**self.certificate("server"))
        self.assertEqual(self.push_with(receiver, ca=self.folder / "other.pem")["windows_lost"], 1)
        self.assertIn("not trusted", self.stderr)

    def test_not_verified_when_told_so(self):
        receiver = self.receiver(**self.certificate("server"))
        self.assert_sent(self.push_with(receiver, skip_verify=1), 1, 30)
        self.assertIn("is not checked (--tls-skip-verify)", self.stderr)

    def test_client_certificate(self):
        client = self.certificate("client")
        receiver = self.receiver(**self.certificate("server"), client_ca=self.folder / "ca.pem")
        counters = self.push_with(receiver, ca=self.folder / "ca.pem", cert=client["certificate"], key=client["key"])
        self.assertEqual((counters["windows_sent"], counters["windows_lost"]), (1, 0), self.stderr)
        self.assertEqual(self.push_with(receiver, ca=self.folder / "ca.pem")["windows_sent"], 0)

    def test_client_certificate_with_the_key_of_another(self):
        client, other = self.certificate("client"), self.certificate("other")
        receiver = self.receiver(**self.certificate("server"))
        counters = self.push_with(receiver, ca=self.folder / "ca.pem", cert=client["certificate"], key=other["key"])
        self.assertEqual(counters["windows_lost"], 1)
        self.assertIn("--client-key", self.stderr)


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Sends all that it is asked for to one port of this machine, and tells what it was."""

    def log_message(self, *_):
        pass

    def _note(self):
        self.server.seen.append((self.command, self.path, self.headers.get("Proxy-Authorization")))

    def do_POST(self):
        self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = "/" + self.path.split("/", 3)[3]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.target)) as upstream:
            upstream.request("POST", path, body, dict(self.headers))
            answer = upstream.getresponse()
            text = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_CONNECT(self):
        self._note()
        self.send_response(200, "Connection established")
        self.end_headers()
        upstream = socket.create_connection(("127.0.0.1", self.server.target))

        def copy(source, target):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        back = threading.Thread(target=copy, args=(upstream, self.connection))
        back.start()
        copy(self.connection, upstream)
        back.join()
        upstream.close()
        self.close_connection = True


class Proxies(Certificates):
    def proxy(self, target):
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Proxy, bind_and_activate=True)
        server.daemon_threads, server.target, server.seen = True, target, []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def test_http(self):
        receiver = self.receiver()
        proxy = self.proxy(receiver.port)
        env = {"http_proxy": f"http://me:pw@127.0.0.1:{proxy.server_address[1]}", "no_proxy": "elsewhere"}
        # A name that only the proxy could resolve.
        self.assert_sent(self.push("http://pyroscope.test:4040", env=env), 1, 30)
        self.assertEqual(proxy.seen, [("POST", f"http://pyroscope.test:4040{PUSH}", "Basic bWU6cHc=")])

    def test_https(self):
        receiver = self.receiver(**self.certificate("server"))
        proxy = self.proxy(receiver.port)
        env = {"https_proxy": f"http://127.0.0.1:{proxy.server_address[1]}"}
        counters = self.push("https://pyroscope.test:4040", env=env, ca=self.folder / "ca.pem", windows=2)
        self.assert_sent(counters, 2, 60)
        self.assertEqual([seen[:2] for seen in proxy.seen], [("CONNECT", "pyroscope.test:4040")])

    def test_no_proxy(self):
        proxy = self.proxy(1)
        env = {"http_proxy": f"http://127.0.0.1:{proxy.server_address[1]}", "no_proxy": ".test"}
        self.assertEqual(self.push("http://pyroscope.test:4040", env=env, finish_ms=300)["windows_lost"], 1)
        self.assertEqual(proxy.seen, [])

    def test_a_proxy_that_is_not_there_is_named(self):
        env = {"http_proxy": f"http://me:geheim@127.0.0.1:{free_port()}"}
        self.assertEqual(self.push("http://pyroscope.test:4040", env=env, finish_ms=300)["windows_lost"], 1)
        self.assertIn(f"by the proxy {env['http_proxy'].replace('me:geheim@', '')}", self.stderr)
        self.assertNotIn("geheim", self.stderr)


class OnDisk(Folder):
    def test_windows_outlive_a_kill(self):
        receiver = self.receiver(fault="503")
        popen = self.start(receiver.address, windows=20, interval_ms=50, finish_ms=60_000, spool=self.folder)
        receiver.wait_for(lambda requests: len(requests) > 2, "tries")
        self.wait_for_files(20)
        popen.send_signal(signal.SIGKILL)
        popen.communicate()
        receiver.set_fault()
        counters = self.push(receiver.address, windows=1, finish_ms=20_000, spool=self.folder, age_s=1)
        self.assert_sent(counters, 21, 21 * 30)
        profiles = receiver.profiles()
        self.assertEqual(len(profiles), 21)
        self.assertFalse(any(profile["duplicate"] for profile in profiles))
        self.assertEqual(self.files(), [])

    def files(self):
        return list(self.folder.rglob("*.window"))

    def wait_for_files(self, count):
        end = time.monotonic() + 20
        while len(self.files()) < count:
            self.assertLess(time.monotonic(), end, "the windows do not come to the spool")
            time.sleep(0.01)

    def test_what_is_left_at_the_end_is_kept_and_comes_the_next_time(self):
        dead = f"http://127.0.0.1:{free_port()}"
        counters = self.push(dead, windows=3, finish_ms=300, spool=self.folder)
        self.assertEqual((counters["windows_kept"], counters["samples_kept"], counters["windows_lost"]), (3, 90, 0))
        receiver = self.receiver(port=int(dead.rsplit(":", 1)[1]))
        self.assert_sent(self.push(dead, windows=1, spool=self.folder), 4, 120)

    def test_a_folder_that_cannot_be_written_to_costs_nothing(self):
        receiver = self.receiver()
        self.assert_sent(self.push(receiver.address, spool="/proc/none"), 1, 30)
        self.assertIn("profiles are kept in memory only", self.stderr)


class Campaign(ProbeTest):
    """The receiver refuses, hangs, limits and comes back at random: the sums agree to the sample."""

    FAULTS = ["", "", "", "", "", "", "refuse", "lost", "429", "500", "503", "502", "408", "400", "cut:3", "taken-cut:3", "hang", "slow:200", "slow-body:300"]

    def run_for(self, seconds, seed):
        signal.alarm(seconds + 100)
        chance = random.Random(seed)
        receiver = self.receiver()
        popen = self.start(receiver.address, windows=seconds * 20, interval_ms=50, finish_ms=4000, request_ms=400,
                           queue_bytes=20_000)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            receiver.set_fault(chance.choice(self.FAULTS))
            time.sleep(chance.uniform(0.05, 0.6))
        receiver.set_fault("lost", count=1)
        counters = self.finish(popen)
        stored = {json.dumps(p["labels"]) + str(p["time_ns"]): p["samples"] for p in receiver.profiles()}
        print(f"seed {seed}: {json.dumps({k: v for k, v in counters.items() if k != 'servers'})}")
        written = seconds * 20 * 30
        self.assertEqual(counters["samples_sent"] + counters["samples_lost"] + counters["samples_unknown"], written)
        self.assertEqual(sum(counters["samples_lost_by_cause"].values()), counters["samples_lost"])
        # What was answered is there; of what was not, some.
        self.assertGreaterEqual(sum(stored.values()), counters["samples_sent"])
        self.assertLessEqual(sum(stored.values()), counters["samples_sent"] + counters["samples_unknown"])
        self.assertGreater(counters["samples_sent"], written / 10)
        self.assertGreater(counters["windows_retried"], 0)
        self.assertEqual(receiver.errors(), [])

    def test_ten_seconds(self):
        self.run_for(10, 1)

    def test_a_minute(self):
        self.run_for(60, random.randrange(1 << 30))


if __name__ == "__main__":
    unittest.main()
