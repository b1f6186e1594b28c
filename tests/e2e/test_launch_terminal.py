# SPDX-License-Identifier: Apache-2.0
"""On a terminal, under an interactive shell, a program with the agent behaves as it does without. Every test does the
same twice, first without the agent, so that what it expects is known to be what the shell does."""

import os
import re
import shlex
import signal

from launching import AGENT, LaunchTest, is_gone, parent_of, state_of, wait_until
from terminal import PROMPT, Shell

READS = "echo ready; read line; echo got-$line; exit $line"
# Counts Ctrl-C; says how many there were at SIGUSR1, which comes the way that a second one would come.
COUNTS = """
import os, signal, sys
signals = {signal.SIGINT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("pid", os.getpid(), flush=True)
count = 0
while signal.sigwait(signals) == signal.SIGINT:
    count += 1
    print("interrupted", flush=True)
print("count", count, flush=True)
"""
ENDS_BY_SIX = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("ready", flush=True)
signal.sigwait({signal.SIGTERM})
raise SystemExit(6)
"""
# bash shows the text of the program as well: it must not hold what the program writes.
SAYS_CONTINUED = """
import os, signal, sys
signal.signal(signal.SIGCONT, lambda *_: os.write(1, b"(con" b"tinued)"))
print("ready", flush=True)
line = sys.stdin.readline()
print("got", line, flush=True)
sys.exit(int(line))
"""


class Terminal(LaunchTest):
    def both(self):
        """A shell, and the words before the program's: without the agent, with it."""
        agent = f"{AGENT} exec --no-logging -o {self.folder / 'profile.pb.gz'} "
        for prefix in ("", agent):
            shell = Shell(self.folder)
            try:
                yield shell, prefix
            finally:
                shell.close()

    def start(self, shell, prefix, script=READS):  # pylint: disable=arguments-differ
        shell.type(f"{prefix}sh -c {shlex.quote(script)}\n")
        shell.expect("ready\r\n")

    def test_reads_the_terminal(self):
        for shell, prefix in self.both():
            self.start(shell, prefix)
            shell.type("5\n")
            shell.expect("got-5")
            self.assertEqual(shell.status(), 5)

    def test_ctrl_z_jobs_and_fg(self):
        for shell, prefix in self.both():
            self.start(shell, prefix)
            shell.type("\x1a")
            shell.expect("Stopped")
            self.assertEqual(shell.status(), 128 + signal.SIGTSTP)
            self.assertRegex(shell.run("jobs"), r"\[1\]\+ +Stopped ")
            shell.type("fg\n")
            shell.type("7\n")
            shell.expect("got-7")
            self.assertEqual(shell.status(), 7)
            self.assertEqual(shell.run("jobs"), "")

    def test_ctrl_z_again_and_again(self):
        for shell, prefix in self.both():
            shell.type(f"{prefix}python3 -c {shlex.quote(SAYS_CONTINUED)}\n")
            shell.expect("ready")
            for _ in range(5):
                shell.type("\x1a")
                shell.expect("Stopped")
                shell.expect(re.escape(PROMPT))
                shell.type("fg\n")
                shell.expect(r"\(continued\)")
                # bash takes a job for running that stops again before bash waits for it (agent or not).
                wait_until(lambda s=shell: state_of(s.pid) == "S", "the shell to wait for its job")
            shell.type("7\n")
            shell.expect("got 7")
            self.assertEqual(shell.status(), 7)
            self.assertEqual(shell.transcript.count("(continued)"), 5, prefix + shell.transcript)

    def test_bg_stops_when_it_reads_the_terminal(self):
        for shell, prefix in self.both():
            self.start(shell, prefix)
            shell.type("\x1a")
            shell.expect("Stopped")
            shell.expect(re.escape(PROMPT))
            shell.run("bg")
            shell.run_until("jobs -l", r"Stopped +\(tty input\)")
            shell.type("fg\n")
            shell.type("5\n")
            shell.expect("got-5")
            self.assertEqual(shell.status(), 5)

    def test_bg_runs(self):
        for shell, prefix in self.both():
            # No child of its own: one that is stopped between vfork and exec holds its parent up, agent or not.
            shell.type(f"{prefix}python3 -c {shlex.quote(ENDS_BY_SIX)}\n")
            shell.expect("ready\r\n")
            shell.type("\x1a")
            shell.expect("Stopped")
            shell.expect(re.escape(PROMPT))
            shell.run("bg")
            self.assertRegex(shell.run("jobs"), r"\[1\]\+ +Running ")
            self.assertIn("status=6", shell.run("kill %1; wait %1; echo status=$?"))

    def test_kill_of_a_job(self):
        for shell, prefix in self.both():
            shell.run(f"{prefix}sleep 100 &")
            self.assertIn("status=143", shell.run("kill %1; wait %1; echo status=$?"))

    def test_kill_of_a_stopped_job(self):
        for shell, prefix in self.both():
            shell.type(f"{prefix}sh -c 'echo pid $$; read line'\n")
            pid = int(shell.expect(r"pid (\d+)\r\n").group(1))
            shell.type("\x1a")
            shell.expect("Stopped")
            shell.expect(re.escape(PROMPT))
            group = int(shell.run("jobs -p"))
            shell.run("kill %1")  # bash sends SIGCONT after it
            # Not by the shell's word: bash 5.2 itself now and then misses this end and says "Stopped" for ever.
            wait_until(lambda p=pid: is_gone(p), "the program's end")
            wait_until(lambda p=group: is_gone(p), "the job's end")

    def test_stop_of_a_job_by_sigstop(self):
        for shell, prefix in self.both():
            shell.run(f"{prefix}sleep 100 &")
            shell.run("kill -STOP %1")
            shell.run_until("jobs", "Stopped")
            self.assertIn("status=143", shell.run("bg; kill %1; wait %1; echo status=$?"))

    def test_ctrl_c(self):
        for shell, prefix in self.both():
            self.start(shell, prefix)
            shell.type("\x03")
            self.assertEqual(shell.status(), 130)

    def test_ctrl_c_arrives_once(self):
        for shell, prefix in self.both():
            shell.type(f"{prefix}python3 -c {shlex.quote(COUNTS)}\n")
            shell.expect(r"pid \d+\r\n")
            shell.type("\x03")
            shell.expect("interrupted")
            group = os.tcgetpgrp(shell.terminal)  # named after the process that the shell started
            os.kill(group, signal.SIGUSR1)
            self.assertEqual(shell.expect(r"count (\d+)").group(1), "1")
            self.assertEqual(shell.status(), 0)

    def test_ctrl_backslash(self):
        for shell, prefix in self.both():
            self.start(shell, prefix)
            shell.type("\x1c")
            shell.expect("Quit")
            self.assertEqual(shell.status(), 131)

    def test_a_program_with_a_group_of_its_own(self):
        """timeout(1) makes one: as a job of a shell it is the leader of its group already, below the agent it is not."""
        statuses = []
        for shell, prefix in self.both():
            shell.type(f"{prefix}timeout 60 sh -c {shlex.quote(READS)}\n")
            shell.expect("ready\r\n")
            shell.type("5\n")
            shell.expect("got-5")
            self.assertEqual(shell.status(), 5)
            shell.type(f"{prefix}timeout 60 sh -c 'echo ready; exec sleep 60'\n")
            shell.expect("ready\r\n")
            shell.type("\x1a")
            shell.expect("Stopped")
            shell.expect(re.escape(PROMPT))
            shell.type("fg\n")
            shell.expect("timeout 60")
            wait_until(lambda s=shell: state_of(s.pid) == "S", "the shell to wait for its job")
            shell.type("\x03")
            statuses.append(shell.status())
        self.assertEqual(statuses[0], statuses[1])

    def test_hangup_ends_the_program(self):
        for shell, prefix in self.both():
            shell.type(f"{prefix}sh -c 'echo pid $$; exec sleep 100'\n")
            pids = [int(shell.expect(r"pid (\d+)\r\n").group(1))]
            while parent_of(pids[-1]) not in (shell.pid, 0):
                pids.append(parent_of(pids[-1]))
            os.kill(shell.pid, signal.SIGHUP)
            wait_until(lambda p=tuple(pids): all(map(is_gone, p)), "the end of the program, and of the agent")

    def test_a_shell_with_jobs_of_its_own(self):
        for shell, prefix in self.both():
            shell.type(f"{prefix}bash --norc --noprofile --noediting -i\n")
            shell.expect(re.escape(PROMPT))
            shell.type("sh -c 'echo inner; read line'\n")
            shell.expect("inner\r\n")
            shell.type("\x1a")
            shell.expect("Stopped")
            shell.expect(re.escape(PROMPT))
            shell.type("fg\n")
            shell.expect("sh -c")
            shell.type("a line\n")
            shell.expect(re.escape(PROMPT))
            shell.type("exit 5\n")
            self.assertEqual(shell.status(), 5)
