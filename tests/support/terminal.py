# SPDX-License-Identifier: Apache-2.0
"""An interactive bash on a terminal of its own, typed to and read by a test."""

import os
import pty
import re
import select
import signal
import time

PROMPT = "NEXT> "


class Shell:
    def __init__(self, folder):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            environment = {**os.environ, "PS1": PROMPT, "HOME": str(folder), "TERM": "dumb", "HISTFILE": ""}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"], environment)
        self.unread = ""
        self.transcript = ""
        self.expect(re.escape(PROMPT))
        self.run("stty -echo; ulimit -c 0")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, pattern, seconds=20):
        """Reads up to the first match of the pattern, and past it."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.unread)
            if found:
                self.unread = self.unread[found.end():]
                return found
            readable, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            if not readable:
                raise AssertionError(f"{pattern!r} not within {seconds} s in:\n{self.transcript}")
            try:
                text = os.read(self.terminal, 1 << 16).decode(errors="replace")
            except OSError as error:
                raise AssertionError(f"the shell ended before {pattern!r}:\n{self.transcript}") from error
            self.unread += text
            self.transcript += text

    def run(self, line):
        """A command that ends by itself; returns what it wrote."""
        self.type(f"{line}\necho end-of-$((1))-command\n")
        text = self.expect(r"(?s)(.*?)end-of-1-command\r\n.*?" + re.escape(PROMPT)).group(1)
        return text.replace("\r\n", "\n").replace(PROMPT, "")

    def run_until(self, line, pattern, seconds=20):
        """Repeats a command until the pattern is in what the shell wrote since the first time."""
        begin = len(self.transcript)
        end = time.monotonic() + seconds
        while not re.search(pattern, self.transcript[begin:]):
            if time.monotonic() > end:
                raise AssertionError(f"{pattern!r} not within {seconds} s in:\n{self.transcript[-3000:]}")
            self.run(line)

    def status(self):
        """$? once the prompt is back."""
        self.expect(re.escape(PROMPT))
        return int(self.run("echo status=$?").partition("status=")[2])

    def close(self):
        """Hangs up, as a closed window does."""
        os.close(self.terminal)
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
