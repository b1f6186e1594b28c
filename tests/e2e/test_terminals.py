# SPDX-License-Identifier: Apache-2.0
"""`agent top` and `agent dump` as their user sees them: in tmux, at three sizes, on programs of each kind and on one that
hangs; and what Ctrl-Z, fg, bg and & do to top."""

import os
import pathlib
import shlex
import signal
import subprocess
import tempfile
import time
import unittest

import agent_runs
import dotnet
from agent_runs import AGENT, BUILD, PROGRAMS
from tmux import PROMPT, Tmux

SIZES = ((24, 80), (10, 50), (60, 200))
HANGS = """
import threading
def one():
    first.acquire(); both.wait(); second.acquire()
def two():
    second.acquire(); both.wait(); first.acquire()
first, second, both = threading.Lock(), threading.Lock(), threading.Barrier(2)
threading.Thread(target=one, daemon=True).start()
thread = threading.Thread(target=two, daemon=True)
thread.start()
print("ready", flush=True)
thread.join()
"""
WIDE = """
def ends():
    while True: sum(range(1000))
call = ends
for i in range(20):
    exec(f"def {'\u8a08\u7b97' * 12}{i}(call=call): call()\\ncall = {'\u8a08\u7b97' * 12}{i}")
print("ready", flush=True)
call()
"""
FIGURES = r"^ *\d+\.\d +\d+\.\d +\d+\.\d +\d+\.\d  "


class Terminals(unittest.TestCase):
    def start(self, *command, first_line="ready\n"):
        target = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(target.communicate)
        self.addCleanup(target.kill)
        if first_line:
            self.assertEqual(target.stdout.readline(), first_line)
        return target

    def start_python(self):
        return self.start(agent_runs.any_interpreter(), str(PROGRAMS / "shares.py"), "900", "2")

    def check_top(self, target, hot, threads, *flags):
        """`hot`: a pattern of a function; `threads`: one of a row of the list of threads."""
        for rows, columns in SIZES:
            with self.subTest(rows=rows, columns=columns):
                terminal = Tmux(self, rows, columns)
                terminal.run(f"echo what was here; {AGENT} top {' '.join(flags)} {target.pid}")
                shown = terminal.expect(hot)
                self.assertIn(f"{target.pid}: ", shown[0])
                self.assertLessEqual(len(shown), rows)
                for row in shown[4:]:  # no row has run over into the next one
                    self.assertRegex(row, FIGURES)
                terminal.keys("t")
                terminal.expect(threads)
                terminal.keys("Escape")
                terminal.resize(rows + 3, columns - 7)
                terminal.expect(hot)
                terminal.keys("q")
                shown = terminal.expect(f"^{PROMPT}$")
                self.assertIn("what was here", shown)
                self.assertNotRegex("\n".join(shown), hot)

    def check_dump(self, target, *patterns):
        for rows, columns in SIZES:
            with self.subTest(rows=rows, columns=columns):
                terminal = Tmux(self, rows, columns)
                terminal.run(f"{AGENT} dump {target.pid} | tee all | head -n {rows - 6} | cut -c -{columns - 1}; echo status-${{PIPESTATUS[0]}}")
                shown = terminal.expect("^status-")
                self.assertIn("status-0", shown)
                self.assertTrue(any(row.startswith(f"process {target.pid}: ") for row in shown), shown)
                for number, pattern in enumerate(patterns):
                    # On a machine that is too busy a thread that wants to run may not do so while it is looked at.
                    terminal.run(f"clear; until grep -Eq {shlex.quote(pattern)} all; do {AGENT} dump {target.pid} > all; done; "
                                 f"echo found-$(({number}))")
                    terminal.expect(f"^found-{number}$")

    def test_python(self):
        target = self.start_python()
        self.check_top(target, "tokenize", r" \d+\.\d +\d+\.\d .* MainThread")
        self.check_dump(target, r"(tokenize|checksum|draw|lookup)", 'thread [0-9]+ "MainThread"')

    def test_native(self):
        target = self.start(str(BUILD / "bin" / "busy_threads"), "3", "1", "900", first_line=None)
        self.check_top(target, "Compute", "  -  .*busy_th", "--demangle", "simplified")
        self.check_dump(target, 'thread [0-9]+ "busy_threads"', "Compute", "Sleeper", "waits for a lock")

    def test_dotnet(self):
        target = self.start(*dotnet.build("Shares", "framework_dependent"), "900")
        self.check_top(target, r"Truth\.", r"\.NET")
        self.check_dump(target, r"Truth\.", r'"\.NET')

    def test_a_program_that_hangs(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        program = pathlib.Path(folder.name) / "hangs.py"
        program.write_text(HANGS)
        target = self.start(agent_runs.any_interpreter(), str(program))
        self.check_dump(target, r"one \(.*:4\)", r"two \(.*:6\)", "waits for a lock")
        for rows, columns in SIZES:
            terminal = Tmux(self, rows, columns)
            terminal.run(f"{AGENT} top {target.pid}")
            terminal.expect(": 0 % CPU, 0 samples/s")
            terminal.keys("q")
            terminal.expect(f"^{PROMPT}$")

    def test_wide_characters(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        program = pathlib.Path(folder.name) / "wide.py"
        program.write_text(WIDE, encoding="utf-8")
        target = self.start(agent_runs.any_interpreter(), str(program))
        terminal = Tmux(self, 10, 50)
        terminal.run(f"{AGENT} top {target.pid}")
        for _ in range(5):  # each time that it is drawn
            shown = terminal.expect(FIGURES)
            self.assertIn(f"{target.pid}: ", shown[0])
            time.sleep(0.3)
        terminal.keys("q")
        terminal.expect(f"^{PROMPT}$")

    def test_ctrl_z_and_fg(self):
        target = self.start_python()
        terminal = Tmux(self)
        terminal.run(f"{AGENT} top {target.pid}")
        terminal.expect(r"tokenize \(")
        for _ in range(2):
            terminal.keys("C-z")
            terminal.expect("Stopped")
            terminal.expect(f"^{PROMPT}$")
            terminal.run("clear; stty -a | grep -wo -e '-*icanon' -e '-*echo'")
            terminal.expect(f"^icanon\necho\n{PROMPT}$")
            terminal.run("fg")
            terminal.expect(r"tokenize \(")
        terminal.keys("C-z")
        terminal.expect("Stopped")
        terminal.expect(f"^{PROMPT}$")
        terminal.run("clear; bg; echo typed-$((6*7))")  # it must neither draw nor take keys now
        terminal.expect("typed-42")
        terminal.run(f"{AGENT} top --duration 2s {target.pid} > lines; wc -l < lines; echo again-$((6*7))")
        self.assertNotRegex("\n".join(terminal.expect("again-42")), FIGURES)
        terminal.run("fg")
        terminal.expect(r"tokenize \(")
        terminal.keys("q")
        terminal.expect(f"^{PROMPT}$")

    def test_what_another_program_has_set_stays(self):
        target = self.start_python()
        terminal = Tmux(self)
        terminal.run(f"{AGENT} top {target.pid}")
        terminal.expect(r"tokenize \(")
        terminal.keys("C-z")
        terminal.expect(f"^{PROMPT}$")
        terminal.run("clear; stty -icanon min 5; kill %1; wait; stty -a | grep -wo -e '-*icanon' -e 'min = [0-9]*'; stty sane")
        terminal.expect("^min = 5\n-icanon$")

    def test_a_keeper_that_is_killed_while_it_is_stopped(self):
        target = self.start_python()
        terminal = Tmux(self)
        terminal.run(f"echo what was here; bash -c 'echo $$ > pid; exec {AGENT} top {target.pid}'")
        terminal.expect(r"tokenize \(")
        keeper = int((terminal.folder / "pid").read_text())
        os.kill(keeper, signal.SIGSTOP)
        terminal.expect("Stopped")
        os.kill(keeper, signal.SIGKILL)
        terminal.expect("^what was here$")

    def test_in_the_background_it_waits(self):
        target = self.start_python()
        terminal = Tmux(self)
        terminal.run(f"{AGENT} top {target.pid} &")
        terminal.expect(f"^{PROMPT}$")
        terminal.run("clear; until jobs | grep Stopped; do :; done")
        terminal.expect(r"Stopped.*\n")
        terminal.run("fg")
        terminal.expect(r"tokenize \(")
        terminal.keys("q")
        terminal.expect(f"^{PROMPT}$")

    def test_a_program_under_top(self):
        terminal = Tmux(self, 24, 100)
        program = PROGRAMS / "shares.py"
        terminal.run(f"clear; {AGENT} top -- {agent_runs.any_interpreter()} {program} 60")
        terminal.expect(r"tokenize \(")
        terminal.keys("C-z")  # with the program
        terminal.expect("Stopped")
        terminal.expect(f"^{PROMPT}$")
        terminal.run("clear; fg; echo status-$?")
        terminal.expect(r"tokenize \(")
        terminal.keys("q")
        shown = terminal.expect(r"^status-\d+")
        self.assertIn("ready", shown)  # what it wrote
        self.assertIn("status-143", shown)


if __name__ == "__main__":
    unittest.main()
