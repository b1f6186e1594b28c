# SPDX-License-Identifier: Apache-2.0
"""What the agent sends, decoded by protoc from descriptions of the formats that are not the agent's own."""

import email.parser
import gzip
import http.server
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import unittest

import pprof
from agent_runs import AGENT, PROGRAMS

PROTO = pathlib.Path(__file__).resolve().parent.parent / "support" / "proto"


class _Keep(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.kept.append((self.headers, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@unittest.skipUnless(shutil.which("protoc"), "no protoc (Debian: protobuf-compiler)")
class Decoded(unittest.TestCase):
    def sent(self, format, *flags):
        """Headers and body of the first request of a run."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Keep)
        server.kept = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYROSCOPE_", "OTEL_"))}
        subprocess.run([AGENT, "exec", "--server-address", f"http://127.0.0.1:{server.server_address[1]}", "--upload-format", format,
                        "--application-name", "shop", *flags, sys.executable, str(PROGRAMS / "spin.py"), "1"],
                       check=True, stdout=subprocess.DEVNULL, env=environment)
        return server.kept[0]

    def decode(self, file, message, data):
        run = subprocess.run(["protoc", f"-I{PROTO}", f"--decode={message}", str(PROTO / file)], input=data, capture_output=True, check=True)
        text = run.stdout.decode()
        # protoc shows fields that it does not know by their numbers.
        self.assertEqual(re.findall(r"^\s*\d+[:{ ].*", text, re.MULTILINE), [])
        # Written and read again it is the same: nothing was left out.
        again = subprocess.run(["protoc", f"-I{PROTO}", f"--encode={message}", str(PROTO / file)], input=run.stdout, capture_output=True, check=True)
        redecoded = subprocess.run(["protoc", f"-I{PROTO}", f"--decode={message}", str(PROTO / file)], input=again.stdout, capture_output=True, check=True)
        self.assertEqual(redecoded.stdout, run.stdout)
        return text

    def check_pprof(self, data):
        text = self.decode("profile.proto", "perftools.profiles.Profile", data)
        for name in ("cpu", "nanoseconds", "samples", "count", "spin"):
            self.assertIn(f'string_table: "{name}"\n', text)
        self.assertEqual(text.count("\nsample {") + text.startswith("sample {"), len(pprof.Profile(data).samples))

    def test_push(self):
        _, body = self.sent("push", "--threads")
        text = self.decode("push.proto", "push.v1.PushRequest", body)
        self.assertEqual(text.count("series {"), 1)
        self.assertRegex(text, r'name: "service_name"\s+value: "shop"')
        self.assertRegex(text, r'ID: "[0-9a-f-]{36}"')
        (series,) = [value for field, value in pprof._fields(body) if field == 1]
        (sample,) = [value for field, value in pprof._fields(series) if field == 2]
        self.check_pprof(dict(pprof._fields(sample))[1])

    def test_ingest_pprof(self):
        headers, body = self.sent("pprof")
        form = email.parser.BytesParser().parsebytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
        (part,) = form.get_payload()
        self.assertEqual((part.get_param("name", header="content-disposition"), part.get_filename()), ("profile", "profile.pprof"))
        self.check_pprof(gzip.decompress(body[body.index(b"\r\n\r\n") + 4 : body.rindex(b"\r\n--agent-")]))

    def test_otlp(self):
        _, body = self.sent("otlp", "--threads")
        text = self.decode("otlp.proto", "otlp.ExportProfilesServiceRequest", body)
        self.assertEqual(text.count("    profiles {"), 2)
        self.assertRegex(text, r'key: "service.name"\s+value {\s+string_value: "shop"')
        for name in ("cpu", "nanoseconds", "samples", "count", "spin", "thread.name"):
            self.assertIn(f'string_table: "{name}"\n', text)


if __name__ == "__main__":
    unittest.main()
