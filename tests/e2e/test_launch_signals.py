# SPDX-License-Identifier: Apache-2.0
"""Signals that are sent to the agent reach the program: each one, once, with its value."""

import ctypes
import os
import signal
import struct
import subprocess

from launching import AGENT, LaunchTest, program, state_of, wait_until

SI_USER, SI_QUEUE = 0, -1
CATCHABLE = [n for n in range(1, 65) if n not in (signal.SIGKILL, signal.SIGSTOP)]
SYS_rt_sigqueueinfo = {"x86_64": 129, "aarch64": 138}[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)


def queue(pid, number, value):
    """sigqueue(3), for signals that libc keeps to itself as well."""
    info = struct.pack("<iiiiii", number, 0, SI_QUEUE, 0, os.getpid(), os.getuid()) + struct.pack("<q", value)
    info = ctypes.create_string_buffer(info.ljust(128, b"\0"), 128)
    if libc.syscall(SYS_rt_sigqueueinfo, pid, number, info) != 0:
        raise OSError(ctypes.get_errno(), "rt_sigqueueinfo")


class Signals(LaunchTest):
    def log(self, **options):
        return self.start(program("signal_log"), **options)

    def lines(self, run, count):
        return [tuple(map(int, run.popen.stdout.readline().split())) for _ in range(count)]

    def end(self, run):
        """All that came since. The last signal of all: what was sent before it has been passed on before it."""
        queue(run.keeper, 64, 64)
        code, out, err = run.end()
        self.assertEqual(code, 0, err)
        lines = [tuple(map(int, line.split())) for line in out.splitlines()]
        self.assertEqual(lines[-1:], [(64, SI_QUEUE, 64)])
        return lines[:-1]

    def test_every_catchable_signal_arrives_once(self):
        run = self.log()
        # One by one: a pending SIGCONT is lost by the next stop signal, and the other way round (signal(7)).
        for number in CATCHABLE:
            os.kill(run.keeper, number)
            if number != signal.SIGCHLD:
                self.assertEqual(self.lines(run, 1), [(number, SI_USER, 0)])
        self.assertEqual(self.end(run), [])

    def test_every_catchable_signal_arrives_with_its_value(self):
        run = self.log()
        for number in CATCHABLE:
            queue(run.keeper, number, 1000 + number)
            if number != signal.SIGCHLD:
                self.assertEqual(self.lines(run, 1), [(number, SI_QUEUE, 1000 + number)])
        self.assertEqual(self.end(run), [])

    def test_queued_signals_arrive_all_and_in_order(self):
        run = self.log()
        for value in range(500):
            queue(run.keeper, 40, value)
        self.assertEqual(self.lines(run, 500), [(40, SI_QUEUE, value) for value in range(500)])
        self.assertEqual(self.end(run), [])

    def test_signals_arrive_without_the_launcher(self):
        run = self.log()
        os.kill(run.launcher, signal.SIGKILL)
        wait_until(lambda: state_of(run.launcher) in ("", "Z"), "the launcher's end")
        os.kill(run.keeper, signal.SIGUSR1)
        queue(run.keeper, 40, 7)
        self.assertEqual(self.lines(run, 2), [(signal.SIGUSR1, SI_USER, 0), (40, SI_QUEUE, 7)])
        self.assertEqual(self.end(run), [])

    def test_what_the_program_sends_to_its_group_is_not_sent_back(self):
        code = """if True:
            import os, signal
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
            print("ready", flush=True)
            os.kill(0, signal.SIGUSR1)
            count = 0
            while signal.sigwait({signal.SIGUSR1, signal.SIGUSR2}) == signal.SIGUSR1:
                count += 1
                print("one", flush=True)
            print("count", count)
            """
        run = self.start("python3", "-c", code, process_group=0)
        run.expect("one")
        os.kill(run.keeper, signal.SIGUSR2)
        self.assertEqual(run.end()[:2], (0, "count 1\n"))

    def test_alarm_set_before_exec_arrives(self):
        # `perl -e 'alarm 1; exec @ARGV'` is how scripts set a time limit.
        code = f"import os, signal; signal.setitimer(signal.ITIMER_REAL, 0.5); os.execv({AGENT!r}, {self.agent('sleep', '20')!r})"
        ended = subprocess.run(["python3", "-c", code], timeout=10, check=False)
        self.assertEqual(ended.returncode, -signal.SIGALRM)

    def test_who_continues_the_program_continues_it_once(self):
        run = self.log()
        os.kill(run.target, signal.SIGSTOP)
        wait_until(lambda: state_of(run.keeper) == "T", "the agent to stop")
        os.kill(run.target, signal.SIGCONT)
        wait_until(lambda: state_of(run.keeper) == "S", "the agent to go on")
        self.assertEqual(self.lines(run, 1), [(signal.SIGCONT, SI_USER, 0)])
        self.assertEqual(self.end(run), [])

    def test_stop_and_continue_of_the_program_are_the_agents(self):
        run = self.start("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done", process_group=0)
        os.kill(run.target, signal.SIGSTOP)
        _, status = os.waitpid(run.keeper, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(status))
        self.assertEqual(os.WSTOPSIG(status), signal.SIGSTOP)
        # Of the program alone: the agent goes on as well.
        os.kill(run.target, signal.SIGCONT)
        _, status = os.waitpid(run.keeper, os.WCONTINUED)
        self.assertTrue(os.WIFCONTINUED(status))
        # Of the agent alone: the program is stopped and goes on as well.
        os.kill(run.keeper, signal.SIGTSTP)
        wait_until(lambda: state_of(run.target) == "T", "the program to stop")
        wait_until(lambda: state_of(run.keeper) == "T", "the agent to stop")
        os.kill(run.keeper, signal.SIGCONT)
        wait_until(lambda: state_of(run.target) not in "Tt", "the program to go on")
        # Killed while both are stopped.
        os.kill(run.target, signal.SIGSTOP)
        wait_until(lambda: state_of(run.keeper) == "T", "the agent to stop")
        os.kill(run.target, signal.SIGKILL)
        self.assertEqual(run.end()[0], -signal.SIGKILL)
