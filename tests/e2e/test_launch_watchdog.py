# SPDX-License-Identifier: Apache-2.0
"""The keeper's view of the sampler: orders, hangs, deaths and restarts. By tests/programs/launch_probe, whose sampler does
what a test asks it to."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from launching import DEADLINE, PROBE, CpuWaits, LaunchTest, Run, is_gone, state_of, wait_until

WAITS = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"


class ProbeTest(LaunchTest):
    def setUp(self):
        super().setUp()
        if not pathlib.Path(PROBE).exists():
            self.skipTest(f"{PROBE} was not built")
        self.log = self.folder / "log"
        self.log.touch()

    def environment(self, sampler):
        return {**os.environ, "PROBE_SAMPLER": sampler, "PROBE_LOG": str(self.log)}

    def probe(self, sampler, *argv, family=True):
        run = Run([PROBE, "exec", *argv], family, env=self.environment(sampler))
        self.addCleanup(run.kill)
        return run

    def connect(self, sampler):
        keeper = subprocess.Popen([PROBE, "connect", str(os.getpid())], env=self.environment(sampler),
                                  stderr=subprocess.PIPE, text=True,
                                  process_group=0)  # in an orphaned group SIGTSTP would not stop it
        self.addCleanup(keeper.communicate)
        self.addCleanup(keeper.kill)
        wait_until(self.log_lines, "the sampler's start")
        return keeper

    def log_lines(self):
        return self.log.read_text(encoding="ascii").splitlines()

    def starts(self):
        return [line for line in self.log_lines() if line.startswith("start ")]


class Orders(ProbeTest):
    def test_sampler_knows_the_program(self):
        run = self.probe("wait", "sh", "-c", WAITS)
        self.assertEqual(self.log_lines(), [f"start {run.sampler} {run.target} {run.launcher}"])

    def test_flush_and_finish(self):
        run = self.probe("wait", sys.executable, "-c", """if True:
            import os, signal, time
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            if os.fork() == 0:
                while time.process_time() < 0.3: pass
                os._exit(0)
            os.wait()
            while time.process_time() < 0.3: pass
            print("ready", flush=True)
            signal.sigwait({signal.SIGTERM})
            """)
        os.kill(run.keeper, signal.SIGHUP)
        wait_until(lambda: self.log_lines()[1:] == ["flush"], "the order to flush")
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 0)
        flush, flush_again, finish = self.log_lines()[1:]
        self.assertEqual((flush, flush_again), ("flush", "flush"))
        cpu = int(finish.removeprefix("finish "))
        self.assertGreaterEqual(cpu, 600_000_000)  # the child's is in
        self.assertLess(cpu, 3_000_000_000)

    def test_finish_without_the_launcher_says_that_cpu_time_is_unknown(self):
        run = self.probe("wait", "sh", "-c", WAITS)
        os.kill(run.launcher, signal.SIGKILL)
        wait_until(lambda: is_gone(run.launcher), "the launcher's end")
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 9)
        self.assertEqual(self.log_lines()[-1], "finish -1")

    def test_death_of_the_keeper_ends_the_sampler(self):
        run = self.probe("wait", "sh", "-c", WAITS)
        os.kill(run.keeper, signal.SIGKILL)
        wait_until(lambda: "keeper gone" in self.log_lines(), "the end of file for the sampler")

    def test_program_does_not_wait_for_the_sampler_for_long(self):
        begin = time.monotonic()
        run = self.probe("late", "sh", "-c", WAITS)
        self.assertLess(time.monotonic() - begin, 2)
        self.assertGreater(time.monotonic() - begin, 0.29)
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 9)

    def test_status_does_not_wait_for_a_sampler_that_does_not_finish(self):
        run = self.probe("hang", "sh", "-c", WAITS)
        begin = time.monotonic()
        os.kill(run.keeper, signal.SIGTERM)
        code, _, err = run.end()
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(code, 9)
        self.assertEqual(err, "agent: the sampler did not finish in time and was killed: 3 samples are lost\n")

    def test_sampler_that_gave_up_is_not_restarted(self):
        run = self.probe("exit3", "sh", "-c", WAITS, family=False)
        sampler = int(self.starts()[0].split()[1])
        wait_until(lambda: state_of(sampler) == "", "the sampler to be reaped")
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[::2], (9, ""))
        self.assertEqual(len(self.starts()), 1)


class Watchdog(ProbeTest):
    def test_hung_hold_is_ended_within_200_ms(self):
        keeper = subprocess.Popen([PROBE, "exec", "sh", "-c", WAITS], env=self.environment("hold"), text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(keeper.communicate)
        self.addCleanup(keeper.kill)
        sampler = int(wait_until(self.starts, "the sampler's start")[0].split()[1])
        waits = CpuWaits(keeper.pid, sampler, os.getpid())
        begin = time.monotonic()
        wait_until(lambda: waits.look() >= 0 and is_gone(sampler), "the sampler's end")
        self.assertLess(time.monotonic() - begin, 0.2 + waits.look())
        self.assertEqual(keeper.stdout.readline(), "ready\n")
        keeper.send_signal(signal.SIGTERM)
        self.assertEqual(keeper.wait(DEADLINE), 9)
        self.assertIn("agent: the sampler hung while it held a thread and was killed: 3 samples are lost; "
                      "the program runs on", keeper.stderr.read())

    def test_stopped_sampler_that_holds_is_ended(self):
        run = self.probe("held", "sh", "-c", WAITS)
        os.kill(run.sampler, signal.SIGSTOP)
        wait_until(lambda: is_gone(run.sampler), "the sampler's end", 1)
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 9)

    def test_pending_stop_that_does_not_move_is_ended(self):
        run = self.probe("pend", "sh", "-c", WAITS)
        waits = CpuWaits(run.keeper, run.sampler, os.getpid())
        begin = time.monotonic()
        wait_until(lambda: waits.look() >= 0 and is_gone(run.sampler), "the sampler's end")
        self.assertLess(time.monotonic() - begin, 0.25 + waits.look())
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 9)

    def test_holds_that_move_are_left_alone(self):
        run = self.probe("held", sys.executable, "-c",
                         "import time; print('ready', flush=True); time.sleep(1.5)")
        self.assertEqual(run.end()[::2], (0, ""))
        self.assertEqual(len(self.starts()), 1)

    def test_hang_while_finishing_is_ended(self):
        run = self.probe("wait", "sh", "-c", WAITS)
        os.kill(run.sampler, signal.SIGSTOP)
        os.kill(run.keeper, signal.SIGTERM)
        code, _, err = run.end()
        self.assertEqual(code, 9)
        self.assertIn("did not finish in time", err)


class Restart(ProbeTest):
    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root (or Yama scope 0) lets a new sampler attach")

    def test_dead_sampler_is_replaced(self):
        run = self.probe("wait", "sh", "-c", WAITS)
        os.kill(run.sampler, signal.SIGKILL)
        second = wait_until(lambda: self.starts()[1:], "the second sampler's start")[0]
        self.assertRegex(second, rf"^start \d+ {run.target} {run.launcher} restarted$")
        os.kill(run.keeper, signal.SIGTERM)
        code, _, err = run.end()
        self.assertEqual(code, 9)
        self.assertEqual(err, "agent: the sampler was ended by signal 9 (Killed): 3 samples are lost; the program runs on, "
                              "a new sampler starts in 1 s\n")
        self.assertRegex(self.log_lines()[-1], r"finish \d+")

    def test_restarts_take_longer_each_time(self):
        run = self.probe("wait", "sh", "-c", WAITS)
        waits = []
        for count in (1, 2):
            begin = time.monotonic()
            os.kill(int(self.starts()[-1].split()[1]), signal.SIGKILL)
            wait_until(lambda c=count: len(self.starts()) > c, "the next sampler's start")
            waits.append(time.monotonic() - begin)
        self.assertGreater(waits[0], 0.9)
        self.assertGreater(waits[1], 1.9)
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 9)

    def test_without_the_right_to_attach_no_new_sampler_starts(self):
        scope = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
        if not scope.exists() or scope.read_text().strip() == "0":
            self.skipTest("no Yama here, or scope 0")
        run = Run(["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", PROBE, "exec", "sh", "-c", WAITS],
                  env=self.environment("wait"))
        self.addCleanup(run.kill)
        os.kill(run.sampler, signal.SIGKILL)
        wait_until(lambda: state_of(run.sampler) == "", "the sampler to be reaped")
        os.kill(run.keeper, signal.SIGTERM)
        self.assertIn("without profiling", run.end()[2])


class Connect(ProbeTest):
    def test_signals_that_ask_to_end_make_it_finish(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            self.log.write_text("", encoding="ascii")
            keeper = self.connect("wait")
            self.assertRegex(self.log_lines()[0], rf"^start \d+ {os.getpid()} 0$")
            keeper.send_signal(number)
            self.assertEqual(keeper.wait(DEADLINE), 0)
            self.assertEqual(self.log_lines()[1:], ["finish -1"])

    def test_status_of_the_sampler(self):
        self.assertEqual(self.connect("exit3").wait(DEADLINE), 3)

    def test_sampler_that_does_not_finish(self):
        keeper = self.connect("hang")
        begin = time.monotonic()
        keeper.terminate()
        self.assertEqual(keeper.wait(DEADLINE), 1)
        self.assertLess(time.monotonic() - begin, 3)

    def test_nohup_is_heeded(self):
        # As `nohup agent connect`: the hangup is not for it; the SIGTERM after it is.
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            keeper = self.connect("wait")
        finally:
            signal.signal(signal.SIGHUP, before)
        keeper.send_signal(signal.SIGHUP)
        with self.assertRaises(subprocess.TimeoutExpired):
            keeper.wait(0.3)
        keeper.terminate()
        self.assertEqual(keeper.wait(DEADLINE), 0)

    def test_hung_hold_is_ended(self):
        keeper = self.connect("hold")
        sampler = int(self.starts()[0].split()[1])
        wait_until(lambda: is_gone(sampler), "the sampler's end", 1)
        keeper.terminate()
        self.assertEqual(keeper.wait(DEADLINE), 1)
        self.assertTrue(re.search("hung while it held a thread", keeper.stderr.read()))

    def test_stop_and_continue(self):
        keeper = self.connect("wait")
        keeper.send_signal(signal.SIGTSTP)
        wait_until(lambda: state_of(keeper.pid) == "T", "it to stop")
        keeper.send_signal(signal.SIGCONT)
        wait_until(lambda: state_of(keeper.pid) == "S", "it to go on")
        keeper.terminate()
        self.assertEqual(keeper.wait(DEADLINE), 0)
