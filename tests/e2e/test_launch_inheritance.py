# SPDX-License-Identifier: Apache-2.0
"""What a program inherits is the same with the agent and without."""

import difflib
import os
import pty
import resource
import signal
import subprocess
import sys

from launching import DEADLINE, LaunchTest, program

INHERITED = program("inherited")


class Inheritance(LaunchTest):
    maxDiff = None

    def compare(self, prepare=None, **options):
        """Runs the program both ways; `prepare` runs in the process that execs it or the agent."""
        outputs = []
        for command in ([INHERITED], self.agent(INHERITED)):
            output = self.folder / f"output{len(outputs)}"
            common = self.folder / "output"  # the same name in both lists of descriptors
            with common.open("w", encoding="utf-8") as file:
                ended = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=False,
                                       preexec_fn=prepare, close_fds=False, **options)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            common.rename(output)
            outputs.append(output.read_text(encoding="utf-8").splitlines())
        # The pipe of stderr has another number each time.
        outputs = [[line for line in lines if not line.startswith("fd 2 -> pipe:")] for lines in outputs]
        self.assertGreater(len(outputs[0]), 30)
        self.assertEqual("\n".join(difflib.unified_diff(*outputs, lineterm="", n=0)), "")
        return outputs[0]

    def assert_line(self, line, lines):
        """Without showing the environment when it fails."""
        self.assertIn(line, [other for other in lines if other.split()[:1] == line.split()[:1]])

    def test_plain(self):
        self.compare()

    def test_mask_and_ignored_signals(self):
        def prepare():
            for number in (signal.SIGHUP, signal.SIGCHLD, signal.SIGTSTP, signal.SIGPIPE, signal.SIGXFSZ, 40):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1, signal.SIGCHLD, signal.SIGSEGV, 45})

        lines = self.compare(prepare, restore_signals=False)
        self.assert_line("/proc/self/status SigBlk:\t0000100000010600", lines)
        self.assert_line("/proc/self/status SigIgn:\t0000008001091001", lines)

    def test_limits_nice_umask_and_oom_score(self):
        def prepare():
            os.nice(3)
            os.umask(0o027)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 4096))
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
            resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 2 << 20))
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
                file.write("300")

        lines = self.compare(prepare)
        self.assert_line("nice 3", lines)
        self.assert_line("/proc/self/oom_score_adj 300", lines)

    def test_descriptors(self):
        folder = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        read, write = os.pipe()

        def prepare():
            for fd in (3, 4, 7, 50, 99):
                os.dup2(folder, fd)
            os.dup2(read, 10)
            os.dup2(write, 11)

        lines = self.compare(prepare)
        os.close(read)
        os.close(write)
        self.assertTrue([line for line in lines if line.startswith(f"fd 99 -> {self.folder}")])

    def test_closed_standard_descriptors(self):
        for closed in ([0], [2], [0, 2], [0, 2, 3, 4, 5]):
            def prepare(fds=tuple(closed)):
                for fd in fds:
                    os.close(fd) if fd < 3 else os.closerange(fd, fd + 1)

            lines = self.compare(prepare, stdin=subprocess.DEVNULL)
            self.assertFalse([line for line in lines if line.startswith(tuple(f"fd {fd} " for fd in closed))])

    def test_log_lines_stay_out_of_other_files_when_stderr_is_closed(self):
        inside = self.folder / "file"
        with inside.open("w", encoding="utf-8") as file:
            ended = subprocess.run(self.agent("no-such-program-here"), stdin=file, stdout=file, timeout=DEADLINE,
                                   check=False, preexec_fn=lambda: os.close(2))
        self.assertEqual((ended.returncode, inside.read_text(encoding="utf-8")), (127, ""))

    def test_variables_that_name_the_process(self):
        outputs = []
        for command in ([INHERITED], self.agent(INHERITED)):
            code = f"""if True:
                import os
                for name in ("LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"):
                    os.environ[name] = str(os.getpid())
                os.environ["LISTEN_FDS"] = "1"
                os.environ["OTHER_PID"] = "1"
                os.execv({command[0]!r}, {command!r})
                """
            ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=True)
            outputs.append([line for line in ended.stdout.splitlines() if line.startswith("env ")])
        self.assertEqual(*outputs)
        for name in ("LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"):
            self.assert_line(f"env {name}=own pid", outputs[1])

    def test_listen_pid_of_another_process_is_left_alone(self):
        lines = self.compare(env={**os.environ, "LISTEN_PID": "1", "EMPTY": "", "=odd": "x"})
        self.assert_line("env LISTEN_PID=1", lines)

    def test_capabilities_and_no_new_privileges(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give up capabilities")
        outputs = []
        for command in ([INHERITED], self.agent(INHERITED)):
            ended = subprocess.run(["setpriv", "--no-new-privs", "--bounding-set=-all,+sys_ptrace", *command],
                                   capture_output=True, text=True, timeout=DEADLINE, check=True)
            outputs.append([line for line in ended.stdout.splitlines() if "Cap" in line or "NoNew" in line])
        self.assertEqual(*outputs)

    def test_terminal_session_and_foreground_group(self):
        outputs = []
        for command in ([INHERITED], self.agent("--no-logging", INHERITED)):
            leader, terminal = pty.openpty()
            self.addCleanup(os.close, leader)

            def prepare(fd=terminal):
                os.login_tty(fd)

            ran = subprocess.Popen(command, preexec_fn=prepare, close_fds=False)
            os.close(terminal)
            text = ""
            while True:
                try:
                    text += os.read(leader, 1 << 16).decode()
                except OSError:
                    break
            self.assertEqual(ran.wait(DEADLINE), 0)
            # Session and groups are named after the process that was started.
            text = text.replace(str(ran.pid), "STARTED")
            outputs.append([line for line in text.splitlines() if not line.startswith("fd ")])
        self.assertEqual("\n".join(difflib.unified_diff(*outputs, lineterm="", n=0)), "")
        self.assertIn("terminal yes foreground STARTED", outputs[0])
        self.assertIn("process group STARTED session STARTED", outputs[0])
