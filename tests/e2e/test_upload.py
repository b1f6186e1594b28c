# SPDX-License-Identifier: Apache-2.0
"""The agent of this build sends to the test receiver: all of it and once, through faults, and never in the program's way."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import receiver
from agent_runs import AGENT, PROGRAMS

NAME = "shop{team=a}"
SHARES = str(PROGRAMS / "shares.py")
FUNCTIONS = {"tokenize", "checksum", "Renderer.draw", "lookup.<locals>.probe"}
LATEST_END = 1.5  # seconds from the program's end to the agent's; one is allowed, the rest is for a busy machine

BUSY = re.compile(r"agent: \d+ (samples? (was|were) lost, \d+ (was|were) kept|ticks? (was|were) left out): ")

# Works for argv[1] seconds, says when it began and ended, and ends with status 3.
STATUS_3 = """
import os, sys, time
begin = time.monotonic()
def work():
    while time.monotonic() - begin < float(sys.argv[1]):
        sum(range(100))
work()
os.write(1, b"%r %r\\n\\x00\\xff" % (begin, time.monotonic()))
os._exit(3)
"""

# Says "worked" after 2 s of CPU time, works on until SIGTERM, and then takes as long to end as its stdin is open.
ENDS_SLOWLY = """
import json, signal, sys, time
def end(*_):
    print(json.dumps({"process": time.process_time_ns()}), flush=True)
    sys.stdin.read()
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
def burn(until=float("inf")):
    while time.process_time() < until:
        sum(range(100))
burn(2)
print("worked", flush=True)
burn()
"""


def is_about(cpu_ns, truth):
    """Within 3 %, or 30 ms: the program's own clock stops a little before its end."""
    return abs(cpu_ns - truth["process"]) < max(0.03 * truth["process"], 30e6)


class Ended:
    """A run that has ended: status, stdout, stderr (its lines), and when."""

    def __init__(self, popen, timeout=60):
        try:
            self.stdout, stderr = popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            popen.kill()
            raise
        self.at = time.monotonic()
        self.status = popen.returncode
        # What a busy machine does to the sampling is no matter of the upload.
        self.stderr = [line for line in stderr.decode().splitlines() if not BUSY.match(line)]

    def lines(self, text):
        return [line for line in self.stderr if text in line]


class UploadTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="agent-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def receive(self, *arguments, **options):
        server = receiver.Receiver(*arguments, **options)
        self.addCleanup(server.stop)
        return server

    def start(self, address, program, flags=(), interval="1s", environment=None):
        ours = ("PYROSCOPE_", "OTEL_", "SSL_CERT_", "POD_", "NODE_NAME", "CONTAINER_NAME")
        env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        command = [AGENT, "exec", "--server-address", address, "--application-name", NAME, "--tag", "k=v"]
        command += ["--upload-interval", interval, *flags, sys.executable, *program]
        popen = subprocess.Popen(
            command, cwd=self.folder, env=env | (environment or {}), bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.addCleanup(self._end, popen)
        return popen

    def _end(self, popen):
        if popen.poll() is None:
            popen.kill()
        popen.communicate()

    def run_agent(self, address, program, **options):
        run = Ended(self.start(address, program, **options))
        self.assertEqual(list(self.folder.glob("*.pb.gz")), [], "nobody asked for a file")
        return run

    def run_shares(self, address, seconds, **options):
        run = self.run_agent(address, [SHARES, str(seconds)], **options)
        self.assertEqual(run.status, 0, run.stderr)
        lines = run.stdout.decode().splitlines()
        self.assertEqual((len(lines), lines[0]), (2, "ready"), "stdout is the program's alone")
        run.truth = json.loads(lines[1])
        return run

    def check_complete(self, server, truth, run):
        """All that the program spent is at the receiver, once."""
        profiles = server.profiles()
        self.assertEqual(server.errors(), [])
        self.assertEqual([p for p in profiles if p["duplicate"]], [])
        total = sum(p["cpu_ns"] for p in profiles)
        print(f"{len(profiles)} windows, received {total / 1e9:.3f} s of {truth['process'] / 1e9:.3f} s")
        self.assertTrue(is_about(total, truth), run.stderr)
        self.assertEqual(run.lines("did not reach"), [])
        return profiles

    def check_loss(self, run, lost=None):
        """One line says how much was lost, and it is the number of windows; returns the line."""
        (line,) = run.lines("did not reach the server")
        words = line.split()
        self.assertEqual([words[0], words[2].removesuffix("s"), words[3]], ["agent:", "profile", "with"])
        self.assertGreaterEqual(int(words[1]), 1)
        self.assertGreaterEqual(int(words[4]), 1)
        if lost is not None:
            self.assertEqual(int(words[1]), lost, line)
        return line


class Windows(UploadTest):
    def test_all_that_was_spent_arrives_under_its_labels(self):
        server = self.receive()
        begin = time.time_ns()
        run = self.run_shares(server.address, 3)
        end = time.time_ns()
        profiles = self.check_complete(server, run.truth, run)
        self.assertEqual(run.stderr, [])
        self.assertGreaterEqual(len(profiles), 3)
        for request in server.requests():
            self.assertEqual((request["path"], request["content_encoding"]), (receiver.PUSH, "gzip"))
        for profile in profiles:
            labels = dict(profile["labels"])
            self.assertTrue(labels.pop("hostname", None) or labels.pop("pod"))
            labels.pop("namespace", None), labels.pop("container", None)  # of the machine that tests run on
            self.assertEqual(labels, {"__name__": "process_cpu", "service_name": "shop", "team": "a", "k": "v"})
            self.assertEqual(profile["types"], ["cpu/nanoseconds", "samples/count"])
            self.assertEqual(profile["period_type"], "cpu/nanoseconds")
            self.assertEqual(profile["deep_stacks"], 0)
        self.assertEqual(FUNCTIONS - {name for p in profiles for name in p["functions"]}, set())
        self.check_times(profiles, begin, end)

    def test_threads_are_labels_when_asked_for(self):
        server = self.receive()
        run = self.run_agent(server.address, [str(PROGRAMS / "threads.py"), "1.5"], flags=["--threads"])
        self.assertEqual(run.status, 0, run.stderr)
        profiles = self.check_complete(server, json.loads(run.stdout.decode().splitlines()[-1]), run)
        threads, by_name = {}, {}
        for profile in profiles:
            ids = {label: values["cpu_ns"] for label, values in profile["by_label"].items() if label.startswith("thread_id=")}
            names = [label for label in profile["by_label"] if label.startswith("thread_name=")]
            self.assertTrue(names)
            for label in names:
                by_name[label] = by_name.get(label, 0) + profile["by_label"][label]["cpu_ns"]
            self.assertEqual(sum(ids.values()), profile["cpu_ns"])
            for label, cpu_ns in ids.items():
                threads[label] = threads.get(label, 0) + cpu_ns
        for name in ("north", "east", "south", "west"):
            self.assertGreater(by_name.get(f"thread_name={name}", 0), 0, by_name)
        # The four that work; the main thread starts the interpreter and waits.
        self.assertGreaterEqual(len([ns for ns in threads.values() if ns > 5e7]), 4, threads)

    def test_processes_are_series_when_asked_for(self):
        for environment, flags in (({}, ["--tag-pid"]), ({"PYROSCOPE_TAG_PID": "true"}, [])):
            server = self.receive()
            run = self.run_agent(server.address, [str(PROGRAMS / "family.py"), "0.5"], flags=flags, environment=environment)
            self.assertEqual(run.status, 0, run.stderr)
            self.assertEqual(server.errors(), [])
            truth = json.loads(run.stdout.decode().splitlines()[-1])
            cpu, functions = {}, {}
            for profile in server.profiles():
                self.assertFalse(profile["duplicate"])
                pid = int(profile["labels"].get("pid", 0))
                cpu[pid] = cpu.get(pid, 0) + profile["cpu_ns"]
                functions.setdefault(pid, set()).update(profile["functions"])
            for who, function in (("parent", "in_thread"), ("child", "in_child")):
                self.assertAlmostEqual(cpu[truth[who]] / 1e9, truth[who + "_ns"] / 1e9, delta=0.06, msg=who)
                self.assertEqual([pid for pid in functions if function in functions[pid]], [truth[who]])
            # What no process that was seen used is nobody's.
            self.assertEqual(set(cpu) - {truth["parent"], truth["child"], 0}, set())

    def test_processes_are_one_series_else(self):
        server = self.receive()
        run = self.run_agent(server.address, [str(PROGRAMS / "family.py"), "0.3"])
        self.assertEqual(run.status, 0, run.stderr)
        self.assertEqual({profile["labels"].get("pid") for profile in server.profiles()}, {None})

    def check_times(self, profiles, begin, end):
        profiles.sort(key=lambda p: p["time_ns"])
        starts = [p["time_ns"] for p in profiles]
        # Rounded times would make windows of two processes one and the same to the server.
        self.assertTrue(any(start % 1_000_000 for start in starts), starts)
        self.assertGreater(starts[0], begin)
        for before, after in zip(profiles, profiles[1:]):
            self.assertLessEqual(before["time_ns"] + before["duration_ns"], after["time_ns"] + 1_000_000)
        self.assertLess(profiles[-1]["time_ns"] + profiles[-1]["duration_ns"], end)
        for profile in profiles:
            self.assertLess(profile["duration_ns"], 1.5e9)


class Faults(UploadTest):
    def check_overcome(self, kind, word):
        """The first two requests fail; no window is lost, and one line tells of the trouble."""
        server = self.receive(fault=kind, count=2)
        run = self.run_shares(server.address, 4)
        self.check_complete(server, run.truth, run)
        requests = server.requests()
        failed = {request["crc"] for request in requests if request["fault"]}
        self.assertEqual([request["fault"] for request in requests[:2]], [kind, kind])
        # The same bytes again: a server tells by time and labels that it has a window already.
        self.assertEqual(failed - {r["crc"] for r in requests if r.get("status") == 200}, set())
        (line,) = run.stderr
        self.assertIn(f"cannot send to {server.address}: ", line)
        self.assertIn(word, line)

    def test_refused_connections_are_overcome(self):
        self.check_overcome("refuse", "")

    def test_status_429_is_overcome(self):
        self.check_overcome("429", "status 429")

    def test_status_500_is_overcome(self):
        self.check_overcome("500", "status 500")

    def test_cut_answers_are_overcome(self):
        self.check_overcome("cut", "cut")

    def test_retry_after_is_kept(self):
        server = self.receive(fault="429", count=1)
        self.run_shares(server.address, 3.5)
        first, second = server.requests()[:2]
        self.assertGreaterEqual(second["at_ns"] - first["at_ns"], 1e9)

    def test_what_is_refused_for_good_is_counted_and_said_once(self):
        for kind, text in (
            ("400", "this is the test fault 400"),
            ("404", "this is the test fault 404"),
            ("redirect", "a redirect to http://elsewhere.invalid/"),
            ("page", "Content-Type text/html"),
        ):
            with self.subTest(kind):
                server = self.receive(fault=kind)
                run = self.run_shares(server.address, 2.2, flags=["--upload-format", "push"])
                requests = server.requests()
                self.assertGreaterEqual(len(requests), 2)
                self.assertEqual(len({request["crc"] for request in requests}), len(requests), "sent again")
                (line,) = run.lines("refused a profile")
                self.assertIn(text, line)
                self.assertIn(", 0 did:", self.check_loss(run, len(requests)))
                self.assertEqual(len(run.stderr), 2, run.stderr)


class ProgramIsUntouched(UploadTest):
    def check_end(self, address):
        run = self.run_agent(address, ["-c", STATUS_3, "2"])
        self.assertEqual(run.status, 3, run.stderr)
        text, rest = run.stdout.split(b"\n")
        self.assertEqual(rest, b"\x00\xff")
        begin, end = map(float, text.split())
        print(f"program {end - begin:.3f} s, agent's end {run.at - end:.3f} s later")
        self.assertLess(end - begin, 2.5)
        self.assertLess(run.at - end, LATEST_END)
        self.assertIn(", 0 did:", self.check_loss(run))
        return run

    def check_said_twice(self, run):
        """The trouble once, the loss once."""
        self.assertEqual(len(run.lines("cannot send to")), 1, run.stderr)
        self.assertEqual(len(run.stderr), 2, run.stderr)

    def test_by_a_dead_server(self):
        self.check_said_twice(self.check_end(f"http://127.0.0.1:{receiver.free_port()}"))

    def test_by_a_server_that_cuts_every_connection(self):
        self.check_said_twice(self.check_end(self.receive(fault="refuse").address))

    def test_by_a_server_that_hangs(self):
        server = self.receive(fault="hang")
        self.check_end(server.address)
        self.assertEqual([request["fault"] for request in server.requests()], ["hang"])

    def test_by_a_server_that_drips_its_answer(self):
        self.check_end(self.receive(fault="drip").address)

    def test_by_a_server_that_takes_no_connection(self):
        with receiver.deaf_address() as address:
            self.check_end(address)


class Sigterm(UploadTest):
    def start_until_worked(self, server, interval):
        popen = self.start(server.address, ["-c", ENDS_SLOWLY], interval=interval)
        self.assertEqual([popen.stdout.readline(), popen.stdout.readline()], [b"ready\n", b"worked\n"])
        popen.send_signal(signal.SIGTERM)
        return popen, json.loads(popen.stdout.readline())

    def check_sent_at_sigterm(self, interval):
        server = self.receive()
        popen, truth = self.start_until_worked(server, interval)

        def all_arrived(requests):
            return is_about(sum(p["cpu_ns"] for r in requests for p in r["profiles"]), truth)

        # The program is still there: its stdin is open.
        server.wait_for(all_arrived, "what was spent until SIGTERM", seconds=5)
        self.assertIsNone(popen.poll())
        run = Ended(popen)
        self.assertEqual((run.status, run.stdout), (7, b""), run.stderr)
        self.check_complete(server, truth, run)
        self.assertEqual(run.stderr, [])
        self.assertTrue(any("burn" in p["functions"] for p in server.profiles()))

    def test_the_first_window_is_sent_while_the_program_shuts_down(self):
        self.check_sent_at_sigterm("60s")

    def test_the_time_since_the_last_upload_is_sent_too(self):
        self.check_sent_at_sigterm("1s")

    def test_a_program_that_dies_of_it_at_once(self):
        server = self.receive()
        program = ENDS_SLOWLY.replace("signal.signal(", "(lambda *_: None)(")
        popen = self.start(server.address, ["-c", program], interval="60s")
        self.assertEqual([popen.stdout.readline(), popen.stdout.readline()], [b"ready\n", b"worked\n"])
        popen.send_signal(signal.SIGTERM)
        run = Ended(popen)
        self.assertEqual(run.status, -signal.SIGTERM, run.stderr)
        self.assertEqual(server.errors(), [])
        self.assertGreater(sum(p["cpu_ns"] for p in server.profiles()), 0.97 * 2e9)


class Https(UploadTest):
    def make_certificate(self, name):
        """Of its own authority, for `name`: files of the certificate and the key."""
        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=receiver", "-addext", f"subjectAltName={name}", "-out", certificate, "-keyout", key],
            check=True, capture_output=True,
        )
        return certificate, key

    def test_an_authority_of_our_own_is_trusted_by_ssl_cert_file(self):
        certificate, key = self.make_certificate("IP:127.0.0.1")
        server = self.receive(certificate=certificate, key=key)
        run = self.run_shares(server.address, 2, environment={"SSL_CERT_FILE": str(certificate)})
        self.check_complete(server, run.truth, run)
        self.assertEqual(run.stderr, [])

    def check_distrust(self, name, environment, text):
        certificate, key = self.make_certificate(name)
        server = self.receive(certificate=certificate, key=key)
        if environment:
            environment = {"SSL_CERT_FILE": str(certificate)}
        run = self.run_shares(server.address, 2, environment=environment)
        self.assertEqual(server.requests(), [])
        (line,) = run.lines("cannot send to " + server.address)
        self.assertIn(text, line)
        self.assertIn(text, self.check_loss(run))
        self.assertEqual(len(run.stderr), 2, run.stderr)

    def test_an_unknown_authority_is_refused(self):
        self.check_distrust("IP:127.0.0.1", None, "certificate is not trusted")

    def test_a_certificate_for_another_name_is_refused(self):
        self.check_distrust("DNS:elsewhere.invalid", True, "certificate is for another name")


if __name__ == "__main__":
    unittest.main()
