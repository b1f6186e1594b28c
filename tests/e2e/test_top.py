# SPDX-License-Identifier: Apache-2.0
"""`agent top` on a terminal of three sizes and on none; the terminal is as it was afterwards."""

import codecs
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

import agent_runs
from agent_runs import AGENT, PROGRAMS


class Top(unittest.TestCase):
    def setUp(self):
        self.target = subprocess.Popen([agent_runs.any_interpreter(), PROGRAMS / "shares.py", "60"],
                                       stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.target.communicate)
        self.addCleanup(self.target.kill)
        self.assertEqual(self.target.stdout.readline(), "ready\n")

    def start(self, rows, columns, has_errors=False):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        agent = subprocess.Popen([AGENT, "top", str(self.target.pid)], stdin=subprocess.DEVNULL, stdout=theirs,
                                 stderr=theirs if has_errors else subprocess.PIPE, text=True)
        self.addCleanup(agent.communicate)
        self.addCleanup(agent.kill)
        self.ours, self.theirs, self.shown = ours, theirs, ""
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        return agent

    def await_text(self, text):
        """Everything up to it."""
        end = time.monotonic() + 20
        while text not in self.shown:
            self.assertLess(time.monotonic(), end, f"no {text!r} in {self.shown[-2000:]!r}")
            if select.select([self.ours], [], [], 1)[0]:
                self.shown += self.decoder.decode(os.read(self.ours, 65536))
        seen, _, self.shown = self.shown.partition(text)
        return seen + text

    def check_left_as_it_was(self, agent, status=0):
        _, errors = agent.communicate(timeout=20)
        self.assertEqual((agent.returncode, errors), (status, ""))
        self.await_text("\x1b[?25h\x1b[?1049l")
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)
        self.assertIn("TracerPid:\t0\n", pathlib.Path(f"/proc/{self.target.pid}/status").read_text())

    def test_keys_and_the_end(self):
        for rows, columns in ((24, 80), (10, 50), (60, 200)):
            with self.subTest(rows=rows):
                agent = self.start(rows, columns)
                screen = self.await_text("tokenize")
                self.assertTrue(screen.startswith("\x1b[?1049h"))
                for line in re.split(r"\r+\n|\x1b\[H", screen):
                    self.assertLessEqual(len(re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", line)), columns, repr(line))
                os.write(self.ours, b"t")
                self.await_text("GIL %")
                self.await_text(" 100.0 ")  # its one thread has it whenever it runs
                os.write(self.ours, b"t\r")
                self.await_text("callers of ")
                os.write(self.ours, b"q")
                self.check_left_as_it_was(agent)

    def test_interrupted_and_killed(self):
        agent = self.start(24, 80)
        self.await_text("tokenize")
        agent.send_signal(signal.SIGINT)
        self.check_left_as_it_was(agent)
        agent = self.start(24, 80)
        self.await_text("tokenize")
        sampler, = map(int, pathlib.Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split())
        os.kill(sampler, signal.SIGKILL)
        agent.send_signal(signal.SIGINT)
        _, errors = agent.communicate(timeout=20)
        self.assertIn("was ended by signal 9", errors)
        self.await_text("\x1b[?25h\x1b[?1049l")
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)

    def test_what_was_drawn_over_is_said_again(self):
        agent = self.start(24, 80, has_errors=True)
        self.await_text("tokenize")
        sampler, = map(int, pathlib.Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split())
        os.kill(sampler, signal.SIGKILL)
        self.await_text("was ended by signal 9")
        agent.send_signal(signal.SIGINT)
        self.await_text("\x1b[?1049l")
        self.await_text("was ended by signal 9")
        agent.wait(20)

    def test_no_terminal(self):
        run = subprocess.run([AGENT, "top", "--duration", "3s", str(self.target.pid)], capture_output=True, text=True,
                             timeout=30)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertNotIn("\x1b", run.stdout)
        self.assertGreaterEqual(len(re.findall(r"% CPU, \d+ samples/s", run.stdout)), 3)
        self.assertRegex(run.stdout, r"% self .* % total  tokenize \(")

    def test_a_reader_that_goes_away_ends_it(self):
        run = subprocess.run(f"{AGENT} top {self.target.pid} | head -n 2", shell=True, capture_output=True, text=True,
                             timeout=30)
        self.assertEqual(len(run.stdout.splitlines()), 2)

    def test_a_program_is_asked_once_when_the_reader_goes_away(self):
        program = """
import signal, time
count = 0
def asked(*_):
    global count
    count += 1
signal.signal(signal.SIGTERM, asked)
while count == 0: pass
end = time.monotonic() + 2
while time.monotonic() < end: pass
open("asked", "w").write(str(count))
"""
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["bash", "-c", '"$0" top -- "$1" -c "$2" | head -n 1', AGENT, agent_runs.any_interpreter(), program],
                           cwd=folder, capture_output=True, timeout=60)
            self.assertEqual((pathlib.Path(folder) / "asked").read_text(), "1")

    def test_a_program_reads_nothing_and_its_output_comes_last(self):
        script = "read x; echo got-$x-$?; echo wrong >&2; i=0; while [ $i -lt 900000 ]; do i=$((i+1)); done; exit 3"
        run = subprocess.run([AGENT, "top", "--", "bash", "-c", script], input="text\n", capture_output=True, text=True,
                             timeout=60)
        self.assertEqual((run.returncode, run.stderr), (3, ""))
        self.assertRegex(run.stdout, r"% CPU, \d+ samples/s")
        self.assertTrue(run.stdout.endswith("got--1\nwrong\n"), run.stdout[-300:])

    def test_a_program_that_writes_much(self):
        run = subprocess.run([AGENT, "top", "--", "sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x; echo end"],
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0)
        left_out, = map(int, re.findall(r"agent: (\d+) bytes of the program's output are left out", run.stdout))
        kept = run.stdout.split("left out here\n")[1]
        self.assertTrue(kept.endswith("xend\n"))
        self.assertEqual(left_out + len(kept), 5000004)
        self.assertLessEqual(len(kept), 1 << 20)

    def test_output_that_nobody_reads(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        agent = subprocess.Popen([AGENT, "top", "--", "head", "-c", "1000000", "/dev/zero"], stdout=writer)
        os.close(writer)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        size = 0
        while size < 60000:  # the pipe is full, but for a part of a page
            size, = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4))
            self.assertIsNone(agent.poll())
            time.sleep(0.05)
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(20), -signal.SIGTERM)

    def test_a_program_that_is_not_there(self):
        run = subprocess.run([AGENT, "top", "--", "/nonexistent"], capture_output=True, text=True, timeout=60)
        self.assertEqual((run.returncode, run.stdout), (127, ""))
        self.assertIn("/nonexistent", run.stderr)

    def test_a_program_ends_with_top(self):
        begin = time.monotonic()
        run = subprocess.run([AGENT, "top", "--duration", "2s", "--", "sleep", "1000"], capture_output=True, text=True,
                             timeout=60)
        self.assertEqual(run.returncode, -signal.SIGTERM)
        self.assertIn("asked to end, waiting for it", run.stderr)
        self.assertGreaterEqual(time.monotonic() - begin, 2)

    def test_no_such_process(self):
        run = subprocess.run([AGENT, "top", "999999999"], capture_output=True, text=True, timeout=30)
        self.assertEqual((run.returncode, run.stdout), (1, ""))
        self.assertIn("no such process", run.stderr)


if __name__ == "__main__":
    unittest.main()
