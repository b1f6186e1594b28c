# SPDX-License-Identifier: Apache-2.0
"""What the user sees: errors before the program starts, settings, files, the summary."""

import filecmp
import os
import pathlib
import pty
import re
import shutil
import subprocess
import tempfile
import unittest

import agent_runs
import pprof
from agent_runs import AGENT, PROGRAMS

BUSY = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"  # for sh: long enough for some samples


class CommandLine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_agent(self, *arguments, **options):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYROSCOPE_")} | options.pop("env", {})
        return subprocess.run([AGENT, *arguments], capture_output=True, text=True, timeout=30, cwd=self.folder,
                              env=environment, stdin=subprocess.DEVNULL, **options)

    def test_bad_input_is_told_before_the_program_starts(self):
        for flags in (["--frobnicate"], ["--sample-rate", "0"], ["--sample-rate", "-1"], ["--sample-rate", "abc"],
                      ["--sample-rate", "2000000"], ["--server-address", "nonsense"], ["--server-address", "http://"],
                      ["--tag", "novalue"], ["--tag", "9=x"], ["-o", "/nonexistent/x.pb.gz"], ["-o", "/x.txt"],
                      ["-o", "/tmp"], ["--upload-interval", "0"], ["--log-level", "loud"]):
            with self.subTest(flags):
                run = self.run_agent("exec", *flags, "touch", "started")
                self.assertEqual(run.returncode, 125)
                self.assertEqual(run.stdout, "")
                self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
                self.assertTrue(run.stderr.startswith("agent: "))
                self.assertFalse((self.folder / "started").exists())

    def test_bad_environment_is_told_and_the_program_runs(self):
        for name, value in (("SAMPLE_RATE", "abc"), ("SAMPLE_RATE", "0"), ("SERVER_ADDRESS", "nonsense"),
                            ("LOG_LEVEL", "loud"), ("UPLOAD_INTERVAL", "x"), ("SPY_NAME", "gospy")):
            with self.subTest(name):
                run = self.run_agent("exec", "-o", "x.pb.gz", "sh", "-c", "echo out; exit 3",
                                     env={"PYROSCOPE_" + name: value})
                self.assertEqual(run.returncode, 3)
                self.assertEqual(run.stdout, "out\n")
                self.assertIn("PYROSCOPE_" + name, run.stderr)

    def test_nowhere_to_keep_it(self):
        run = self.run_agent("exec", "sh", "-c", "echo out; exit 3")
        self.assertEqual((run.returncode, run.stdout), (3, "out\n"))
        self.assertEqual(len(run.stderr.splitlines()), 1)
        self.assertIn("--server-address", run.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_switched_off_by_the_environment(self):
        run = self.run_agent("exec", "-o", "x.pb.gz", "sh", "-c", "echo $$ $PPID",
                             env={"PYROSCOPE_PROFILING_ENABLED": "false"})
        self.assertEqual(run.stderr, "")
        self.assertEqual(int(run.stdout.split()[1]), os.getpid())  # no process of ours in between

    def test_summary_and_default_file(self):
        run = self.run_agent("exec", "--summary", agent_runs.any_interpreter(), str(PROGRAMS / "shares.py"), "1")
        self.assertEqual(run.returncode, 0)
        self.assertEqual(run.stdout.splitlines()[0], "ready")
        self.assertRegex(run.stderr, r"tokenize \(.*shares.py:20\)")
        (file,) = self.folder.iterdir()
        self.assertRegex(file.name, r"^shares-\d{8}-\d{6}\.pb\.gz$")
        self.assertIn(file.name, run.stderr)
        self.assertGreater(pprof.read(file).total("samples"), 50)

    def test_quiet_leaves_the_summary_out(self):
        for flags in ((), ("--summary",)):
            run = self.run_agent("exec", "--quiet", *flags, "-o", "x.pb.gz", "sh", "-c", BUSY + "; exit 3")
            self.assertEqual((run.returncode, run.stdout), (3, ""))
            # On a machine that is too busy what was left out is told all the same.
            self.assertNotRegex(run.stderr, r"samples, |function|written")
            self.assertGreater(pprof.read(self.folder / "x.pb.gz").total("cpu"), 0)

    def test_terminal_gets_the_summary_unasked(self):
        ours, theirs = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYROSCOPE_")}
        run = subprocess.Popen([AGENT, "exec", agent_runs.any_interpreter(), str(PROGRAMS / "shares.py"), "1"],
                               stdout=subprocess.PIPE, stderr=theirs, cwd=self.folder, env=environment)
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
        os.close(ours)
        run.communicate()
        self.assertIn(b"tokenize", shown)
        self.assertEqual(len(list(self.folder.iterdir())), 1)

    def test_folded(self):
        run = self.run_agent("exec", "-o", "x.folded", agent_runs.any_interpreter(), str(PROGRAMS / "shares.py"), "1")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        lines = (self.folder / "x.folded").read_text().splitlines()
        for line in lines:
            self.assertRegex(line, r"^[^ ].* \d+$")
        self.assertTrue(any(re.match(r"<module>;main;work;tokenize \d+$", line) for line in lines), lines)

    def check_written_in_place(self, file, run, inode):
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertNotIn("not written", run.stderr)
        self.assertRegex(file.read_text(), r"^([^ ].* \d+\n)+$")  # what was longer before is cut off
        self.assertEqual(file.stat().st_ino, inode)

    def test_output_to_a_mounted_file(self):
        """As `docker -v /host/file:/file`: a mount point cannot be renamed over."""
        unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        host, mounted = self.folder / "host.folded", self.folder / "mounted" / "x.folded"
        mounted.parent.mkdir()
        mounted.touch()
        host.write_text("old\n" * 1000)
        inode = host.stat().st_ino
        mount = f"mount --bind {host} {mounted}"
        if (tried := subprocess.run([*unshare, "sh", "-c", mount], capture_output=True, text=True)).returncode != 0:
            self.skipTest(f"no mounts in a namespace of our own: {tried.stderr.strip()}")

        def run_mounted(options):
            return subprocess.run([*unshare, "sh", "-c", f'{mount} && {options} exec "$@"', "sh", AGENT, "exec", "-o", mounted,
                                   "sh", "-c", BUSY], capture_output=True, text=True, timeout=30)

        self.check_written_in_place(host, run_mounted(""), inode)
        self.assertEqual(mounted.read_text(), "")
        self.assertEqual(list(mounted.parent.iterdir()), [mounted])
        before = host.read_text()
        run = run_mounted(f"mount -o remount,bind,ro {mounted} &&")
        self.assertEqual(run.returncode, 125, run.stderr)  # told before the program starts
        self.assertIn("Read-only file system", run.stderr)
        self.assertEqual(host.read_text(), before)

    def test_output_to_a_file_in_a_folder_of_somebody_else(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to become another user")
        folder = self.folder / "theirs"
        folder.mkdir()
        file = folder / "x.folded"
        file.write_text("old\n" * 1000)
        os.chown(file, 65534, 65534)
        inode = file.stat().st_ino
        self.folder.chmod(0o755)
        shutil.copy(AGENT, self.folder / "agent")
        user = dict(user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=30)
        run = subprocess.run([self.folder / "agent", "exec", "-o", file, "sh", "-c", BUSY], **user)
        self.check_written_in_place(file, run, inode)
        run = subprocess.run([self.folder / "agent", "exec", "-o", folder / "new.folded", "sh", "-c", BUSY], **user)
        self.assertEqual(run.returncode, 125)
        self.assertIn("Permission denied", run.stderr)

    def test_logging_can_be_silenced(self):
        run = self.run_agent("exec", "-no-logging", "sh", "-c", "exit 4")
        self.assertEqual((run.returncode, run.stderr), (4, ""))

    def test_no_permission_to_look(self):
        """The program is readable by nobody, so the kernel hides it from an ordinary user: one line, and it runs."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to become another user")
        if agent_runs._version_of("/usr/bin/python3") not in agent_runs.SUPPORTED:
            self.skipTest("needs a supported /usr/bin/python3")
        self.folder.chmod(0o777)
        shutil.copy(os.path.realpath("/usr/bin/python3"), self.folder / "python3")
        (self.folder / "python3").chmod(0o711)
        shutil.copy(AGENT, self.folder / "agent")
        (self.folder / "agent").chmod(0o755)
        run = subprocess.run([self.folder / "agent", "exec", "-o", "x.pb.gz", self.folder / "python3", "-c",
                              "for i in range(10**7): pass\nprint('out'); raise SystemExit(5)"], user=65534, group=65534,
                             extra_groups=[], cwd=self.folder, capture_output=True, text=True, timeout=30)
        self.assertEqual((run.returncode, run.stdout), (5, "out\n"), run.stderr)
        self.assertIn("SYS_PTRACE", run.stderr)
        lines = [line for line in run.stderr.splitlines() if " left out: the machine" not in line]  # a busy machine
        self.assertEqual(len(lines), 1, run.stderr)

    def test_help_and_version(self):
        for arguments in (["--help"], ["exec", "--help"], ["connect", "-h"], ["--version"]):
            run = self.run_agent(*arguments)
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            self.assertTrue(run.stdout)

    def test_installed_by_several_at_the_same_time(self):
        ones = [subprocess.Popen([AGENT, "install", "copy"], cwd=self.folder, stderr=subprocess.PIPE) for _ in range(8)]
        self.assertEqual([(one.communicate()[1], one.returncode) for one in ones], [(b"", 0)] * 8)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["copy"])
        self.assertTrue(filecmp.cmp(self.folder / "copy", AGENT, shallow=False))
        self.assertEqual((self.folder / "copy").stat().st_mode & 0o777, 0o755)
        self.assertRegex(self.run_agent("install", "/nowhere/copy").stderr, r"^agent: not installed: create: /nowhere/copy: No such ")


if __name__ == "__main__":
    unittest.main()
