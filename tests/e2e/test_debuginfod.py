# SPDX-License-Identifier: Apache-2.0
"""--debuginfod: debug files by build id from a server, on their own time."""

import contextlib
import http.server
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from agent_runs import BUILD, Run

PROGRAM = BUILD / "bin" / "native_truth"
STEPS = BUILD / "tests" / "programs" / "steps"


class Server:
    """debuginfod and Pyroscope in one. `files`: build id → bytes; each GET first waits for `answers`."""

    def __init__(self, files, windows_before_answer=0):
        self.gets, self.posts, self.answers = [], 0, threading.Event()
        if windows_before_answer == 0:
            self.answers.set()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.gets.append(self.path)
                server.answers.wait(100)
                name = self.path.split("/")
                body = files.get(name[2]) if name[1] == "buildid" and name[3:] == ["debuginfo"] else None
                with contextlib.suppress(OSError):
                    self.answer(404 if body is None else 200, body or b"not found")

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                server.posts += 1
                if server.posts == windows_before_answer:
                    server.answers.set()
                self.answer(200, b"")

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.answers.set()
        self.http.shutdown()
        self.http.server_close()


class Debuginfod(unittest.TestCase):
    def setUp(self):
        if shutil.which("objcopy") is None:
            raise unittest.SkipTest("no objcopy")
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="agent-test-")))
        self.cache = self.folder / "cache"
        self.program = self.folder / "stripped"
        debug = self.folder / "debug-of-it"
        subprocess.run(["strip", "-o", self.program, PROGRAM], check=True)
        subprocess.run(["objcopy", "--only-keep-debug", PROGRAM, debug], check=True)
        notes = subprocess.run(["readelf", "-n", self.program], capture_output=True, text=True, check=True).stdout
        if "Build ID: " not in notes:
            raise unittest.SkipTest("the linker writes no build id")
        self.build_id = notes.split("Build ID: ")[1].split()[0]
        self.request = f"/buildid/{self.build_id}/debuginfo"
        self.debug = debug.read_bytes()

    def serve(self, *arguments):
        server = Server(*arguments)
        self.addCleanup(server.close)
        return server

    def run_it(self, urls, seconds=2, flags=("--debuginfod",), **environment):
        environment = {"DEBUGINFOD_CACHE_PATH": str(self.cache), "DEBUGINFOD_URLS": urls, **environment}
        command = [str(self.program), str(seconds), str(STEPS / "plugin1.so"), str(STEPS / "plugin2.so")]
        run = Run(command, ["--upload-interval", "1s", "--sample-rate", "500", *flags], env={**os.environ, **environment})
        self.assertEqual(run.status, 0, run.stderr)
        print(run.stderr)
        return run

    def samples(self, run):
        """Of the program's own code: with and without a name."""
        leaves = [(s["stack"][0][0], s["values"]["samples"]) for s in run.profile.samples]
        named = sum(n for name, n in leaves if "truth::" in name)
        unnamed = sum(n for name, n in leaves if name.startswith("stripped+0x"))
        print(f"{named} samples with a name, {unnamed} without")
        return named, unnamed

    def cached(self):
        return sorted(str(p.relative_to(self.cache)) for p in self.cache.rglob("*") if p.is_file())

    def test_later_windows_have_names_and_the_next_run_at_once(self):
        server = self.serve({self.build_id: self.debug}, 2)
        run = self.run_it(server.url, seconds=6, flags=("--debuginfod", "--server-address", server.url))
        named, unnamed = self.samples(run)
        self.assertGreater(named, 100)
        self.assertGreater(unnamed, 100)
        self.assertEqual(len(server.gets), len(set(server.gets)), "a build id was asked for twice")
        self.assertIn(self.request, server.gets)
        self.assertEqual(self.cached(), [f"{self.build_id}/debuginfo"])
        self.assertEqual((self.cache / self.build_id / "debuginfo").read_bytes(), self.debug)
        server.gets.clear()
        named, unnamed = self.samples(self.run_it(server.url))
        self.assertGreater(named, 100)
        self.assertEqual(unnamed, 0)
        self.assertNotIn(self.request, server.gets)

    def test_a_server_that_hangs_holds_up_nothing(self):
        server = self.serve({self.build_id: self.debug}, -1)
        begin = time.monotonic()
        run = self.run_it(server.url)
        self.assertLess(time.monotonic() - begin, 30)  # the agent's own patience with it is 90 s
        self.assertEqual(len(server.gets), 1)  # one at a time, and it still waits
        named, unnamed = self.samples(run)
        self.assertEqual(named, 0)
        self.assertGreater(unnamed, 100)
        self.assertEqual(self.cached(), [])

    def test_another_build_is_refused(self):
        subprocess.run(["objcopy", "--only-keep-debug", BUILD / "bin" / "agent", self.folder / "other"], check=True)
        server = self.serve({self.build_id: (self.folder / "other").read_bytes()})
        run = self.run_it(f" {server.url}/  ")
        self.assertIn(self.request, server.gets)
        self.assertIn(f"what {server.url} sent is not the debug file of build id {self.build_id}", run.stderr)
        self.assertEqual(self.samples(run)[0], 0)
        self.assertEqual(self.cached(), [])

    def test_half_a_file_is_refused_and_the_second_server_asked(self):
        first = self.serve({self.build_id: self.debug[:len(self.debug) // 2]})
        second = self.serve({self.build_id: self.debug})
        run = self.run_it(f"{first.url} {second.url}", seconds=4)
        self.assertIn(self.request, second.gets)
        self.assertGreater(self.samples(run)[0], 100)
        self.assertEqual((self.cache / self.build_id / "debuginfo").read_bytes(), self.debug)

    def test_nothing_is_asked_without_the_flag(self):
        server = self.serve({self.build_id: self.debug})
        self.run_it(server.url, flags=())
        self.assertEqual(server.gets, [])
        self.assertFalse(self.cache.exists())

    def test_no_server_is_told(self):
        run = self.run_it("", flags=(), PYROSCOPE_DEBUGINFOD="true")
        self.assertEqual(run.stderr.count("--debuginfod does nothing: DEBUGINFOD_URLS names no server"), 1, run.stderr)

    def test_no_place_for_the_cache_is_told(self):
        server = self.serve({self.build_id: self.debug})
        run = self.run_it(server.url, DEBUGINFOD_CACHE_PATH=str(self.program / "cache"))
        self.assertEqual(run.stderr.count("debuginfod: nothing is downloaded, its cache"), 1, run.stderr)
        self.assertEqual(server.gets, [])


if __name__ == "__main__":
    unittest.main()
