# SPDX-License-Identifier: Apache-2.0
"""A program under the agent ends as it ends alone, whatever happens to the agent's processes."""

import os
import pathlib
import resource
import signal
import struct
import subprocess
import sys

from launching import DEADLINE, LaunchTest, children_of, is_gone, parent_of, state_of, wait_until

IN_OWN_PID_NAMESPACE = ["unshare", "-pf", "--mount-proc"]
# A program that says "ready" and waits for SIGTERM, at which it ends with status 9.
WAITS = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"


def command_line_in_core(path):
    """pr_psargs of a core file's NT_PRPSINFO note (elf.h, sys/procfs.h)."""
    data = path.read_bytes()
    header_offset = struct.unpack_from("<Q", data, 0x20)[0]
    size, count = struct.unpack_from("<HH", data, 0x36)
    for i in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, header_offset + i * size)
        end = offset + length
        while kind == 4 and offset < end:
            name_size, value_size, note = struct.unpack_from("<III", data, offset)
            value = offset + 12 + (name_size + 3) // 4 * 4
            if note == 3:
                return data[value + 56:value + 136].rstrip(b"\0 ").decode()
            offset = value + (value_size + 3) // 4 * 4
    raise AssertionError("no NT_PRPSINFO in the core file")


class Status(LaunchTest):
    def test_exit_codes_come_through(self):
        for code in (0, 3, 255):
            self.assertEqual(self.run_agent("sh", "-c", f"exit {code}").returncode, code)

    def test_deaths_by_signal_come_through(self):
        for number in (signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL, signal.SIGRTMIN):
            self.assertEqual(self.run_agent("bash", "-c", f"kill -{int(number)} $$").returncode, -number)

    def test_ignored_signal_that_the_program_dies_by(self):
        # The keeper was started with SIGINT ignored and must end by it all the same.
        code = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGINT)"
        ended = self.run_agent(sys.executable, "-c", code,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.assertEqual(ended.returncode, -signal.SIGINT)

    def test_one_core_file_and_it_is_the_programs(self):
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if pattern.startswith("|") or "/" in pattern:
            self.skipTest(f"core_pattern is {pattern!r}: no core file in the working directory")
        if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY and os.geteuid() != 0:
            self.skipTest("the hard limit allows no core file")

        def allow_core():
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        before = set(self.folder.iterdir())
        ended = self.run_agent("bash", "-c", "kill -SEGV $$", cwd=self.folder, preexec_fn=allow_core)
        self.assertEqual(ended.returncode, -signal.SIGSEGV)
        cores = [path for path in set(self.folder.iterdir()) - before if "core" in path.name]
        self.assertEqual(len(cores), 1, cores)
        self.assertEqual(command_line_in_core(cores[0]), "bash -c kill -SEGV $$")

    def test_cpu_time_counts_as_that_of_a_child(self):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.run_agent(sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertGreater(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 0.49)

    def test_exec_failures(self):
        missing = self.run_agent("no-such-program-here")
        self.assertEqual(missing.returncode, 127)
        self.assertEqual(missing.stderr, 'agent: cannot run "no-such-program-here": No such file or directory\n')
        refused = self.run_agent("/etc/passwd")
        self.assertEqual(refused.returncode, 126)
        self.assertEqual(refused.stderr, 'agent: cannot run "/etc/passwd": Permission denied\n')

    def test_program_is_found_by_path(self):
        script = self.folder / "found-by-path"
        script.write_text("exit 6\n")  # no #!: run by sh, as execvp does
        script.chmod(0o755)
        ended = self.run_agent(script.name, env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"})
        self.assertEqual(ended.returncode, 6, ended.stderr)

    def test_without_descriptors_to_spare_the_program_runs(self):
        # The agent's own pipes do not fit below this limit; the program's files do.
        ended = self.run_agent("sh", "-c", "exit 4",
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5)))
        self.assertEqual(ended.returncode, 4, ended.stderr)


class PidOne(LaunchTest):
    def setUp(self):
        super().setUp()
        tried = subprocess.run([*IN_OWN_PID_NAMESPACE, "true"], capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            self.skipTest(f"no PID namespace: {tried.stderr.strip()}")

    def run_as_pid_1(self, *argv):
        return subprocess.run([*IN_OWN_PID_NAMESPACE, *self.agent(*argv)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=DEADLINE, check=False)

    def test_status(self):
        self.assertEqual(self.run_as_pid_1("sh", "-c", "exit 3").returncode, 3)
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
            self.assertEqual(self.run_as_pid_1("sh", "-c", f"kill -{int(number)} $$").returncode, 128 + number)

    def test_orphans_are_reaped(self):
        code = """if True:
            import os, pathlib, time
            for _ in range(20):
                if os.fork() == 0:
                    if os.fork() == 0:
                        os._exit(0)      # an orphan: its parent may have ended before it
                    os._exit(0)
                os.wait()
            def zombies():
                found = 0
                for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
                    try:
                        found += stat.read_text().rpartition(")")[2].split()[0] == "Z"
                    except (FileNotFoundError, ProcessLookupError):
                        pass
                return found
            end = time.monotonic() + 10
            while zombies() and time.monotonic() < end:
                time.sleep(0.01)
            print("zombies", zombies())
            """
        ended = self.run_as_pid_1(sys.executable, "-c", code)
        self.assertEqual((ended.returncode, ended.stdout), (0, "zombies 0\n"), ended.stderr)


class Deaths(LaunchTest):
    def test_death_of_the_sampler_leaves_the_program_alone(self):
        run = self.start("sh", "-c", WAITS)
        os.kill(run.sampler, signal.SIGKILL)
        wait_until(lambda: is_gone(run.sampler), "the sampler's end")
        wait_until(lambda: parent_of(run.launcher) == run.keeper, "the launcher to fall to the keeper")
        self.assertNotIn(state_of(run.target), ("", "Z", "T", "t"))
        os.kill(run.keeper, signal.SIGTERM)
        code, _, err = run.end()
        self.assertEqual(code, 9)
        self.assertRegex(err, r"(?m)^agent: the sampler was ended by signal 9 \(Killed\): \d+ samples are lost")

    def test_death_of_the_launcher_leaves_the_program_alone(self):
        run = self.start("sh", "-c", WAITS)
        os.kill(run.launcher, signal.SIGKILL)
        wait_until(lambda: parent_of(run.target) == run.keeper, "the program to fall to the keeper")
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 9)

    def test_death_of_sampler_and_launcher_leaves_the_program_alone(self):
        run = self.start("sh", "-c", WAITS)
        os.kill(run.sampler, signal.SIGKILL)
        os.kill(run.launcher, signal.SIGKILL)
        wait_until(lambda: parent_of(run.target) == run.keeper, "the program to fall to the keeper")
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 9)

    def test_death_of_the_keeper_is_the_programs(self):
        run = self.start("sh", "-c", "trap '' TERM INT HUP; echo ready; while :; do sleep 0.05; done")
        os.kill(run.keeper, signal.SIGKILL)
        wait_until(lambda: is_gone(run.target), "the program's end", 1)
        wait_until(lambda: is_gone(run.launcher) and is_gone(run.sampler), "the end of all")

    def test_nothing_of_ours_is_left(self):
        run = self.start("sh", "-c", WAITS)
        os.kill(run.keeper, signal.SIGTERM)
        self.assertEqual(run.end()[0], 9)
        self.assertEqual([pid for pid in (run.sampler, run.launcher, run.target) if state_of(pid)], [])


class Family(LaunchTest):
    def test_daemonised_child_stays_below_the_launcher(self):
        code = """if True:
            import os, signal, time
            read, write = os.pipe()
            if os.fork() == 0:
                os.setsid()
                middle = os.getpid()
                if os.fork() == 0:
                    while os.getppid() == middle:
                        time.sleep(0.001)
                    os.write(write, b"%d" % os.getpid())
                    os.close(write)
                    signal.pause()
                os._exit(0)
            os.wait()
            os.close(write)
            daemon = os.read(read, 100).decode()
            print("ready", flush=True)
            print(daemon, flush=True)
            signal.pause()
            """
        run = self.start(sys.executable, "-c", code)
        daemon = int(run.popen.stdout.readline())
        self.addCleanup(os.kill, daemon, signal.SIGKILL)
        self.assertEqual(parent_of(daemon), run.launcher)
        self.assertIn(daemon, children_of(run.launcher))

    def test_reader_of_stdout_sees_its_end(self):
        code = """if True:
            import os, signal
            print("ready", flush=True)
            os.close(1)
            signal.sigwait({signal.SIGUSR1})
            """
        run = self.start(sys.executable, "-c", f"import signal\nsignal.pthread_sigmask(0, {{10}})\n{code}")
        self.assertEqual(run.popen.stdout.read(), "")  # hangs if a process of ours has a copy
        self.assertFalse(is_gone(run.target))
        os.kill(run.keeper, signal.SIGUSR1)
        self.assertEqual(run.popen.wait(DEADLINE), 0)

    def test_our_processes_keep_nothing_of_the_programs(self):
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        run = self.start("sh", "-c", WAITS, pass_fds=[write])
        os.close(write)
        for pid in (run.keeper, run.sampler, run.launcher):
            targets = {int(link.name): os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
            self.assertEqual((targets[0], targets[1]), ("/dev/null", "/dev/null"))
            pipe = os.readlink(f"/proc/self/fd/{read}")
            self.assertNotIn(pipe, targets.values())
        self.assertEqual(os.readlink(f"/proc/{run.launcher}/fd/2"), "/dev/null")

    def test_first_to_go_when_memory_runs_out_is_the_sampler(self):
        own = pathlib.Path("/proc/self/oom_score_adj").read_text()
        run = self.start("sh", "-c", WAITS)
        scores = [pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text()
                  for pid in (run.keeper, run.sampler, run.launcher, run.target)]
        self.assertEqual(scores, [own, "1000\n", own, own])
