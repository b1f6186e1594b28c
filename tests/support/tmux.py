# SPDX-License-Identifier: Apache-2.0
"""A terminal of any size, as its user sees it: what tmux has on its screen."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

PROMPT = "NEXT>"


class Tmux:
    """A bash in a window of a tmux server of its own."""

    def __init__(self, test, rows=24, columns=80):
        if shutil.which("tmux") is None:
            raise unittest.SkipTest("no tmux")
        folder = tempfile.TemporaryDirectory(prefix="agent-tmux-")
        test.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)  # where it begins
        self.socket = f"{folder.name}/socket"
        test.addCleanup(self.tmux, "kill-server")
        shell = f"cd {folder.name}; PS1='{PROMPT} ' HISTFILE= exec bash --norc --noprofile -i"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "env", "-u", "PROMPT_COMMAND",
                  "TERM=screen-256color", "sh", "-c", shell)
        self.expect(PROMPT)

    def tmux(self, *arguments):
        run = subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, text=True, timeout=120)
        if run.returncode != 0:
            raise AssertionError(f"tmux {arguments}: {run.stderr}")
        return run.stdout

    def screen(self, colors=False):
        """Its rows, without the blanks at their ends."""
        return self.tmux("capture-pane", "-p", *(["-e"] if colors else [])).rstrip("\n").split("\n")

    def expect(self, pattern, seconds=60):
        """Waits until the screen has it ("^" and "$" are those of a row); returns the screen."""
        end = time.monotonic() + seconds
        while not re.search(pattern, "\n".join(rows := self.screen()), re.MULTILINE):
            if time.monotonic() > end:
                raise AssertionError(f"{pattern!r} not within {seconds} s on this screen:\n" + "\n".join(rows))
        return rows

    def keys(self, *keys):
        """As tmux names them: "q", "Enter", "C-z"."""
        self.tmux("send-keys", *keys)

    def run(self, line):
        """Types a command."""
        self.tmux("send-keys", "-l", line)
        self.keys("Enter")

    def resize(self, rows, columns):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))
