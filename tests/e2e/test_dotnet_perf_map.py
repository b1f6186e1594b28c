# SPDX-License-Identifier: Apache-2.0
"""A .NET runtime that the agent cannot read: its methods are named by the perf map that it is asked for.

Such a runtime is made of a real one, by another version in its file and another name in what it says of its structures.
"""

import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import dotnet
from agent_runs import AGENT, Run

VERSION = re.compile(rb"@\(#\)Version \d+\.0\.(\d+)")
NAMED = re.compile(r"process (\d+) \(\w+\) is shown as machine code, its methods by their perf map: "
                   r"(.+), and its runtime (.+) (/tmp/perf-\1\.map)$")
UNNAMED = re.compile(r"process \d+ \(\w+\) is shown as machine code only: this agent cannot read \.NET 99\.0 \(.+\), and (.+)$")


def make_unreadable(library, version):
    """The same runtime in the same number of bytes."""
    begin = b"@(#)Version %s.0." % version.encode()

    def other_version(found):
        return begin + found[1][len(begin) - len(found[0]):]

    changed, count = VERSION.subn(other_version, library.read_bytes())
    if count == 0:
        raise AssertionError(f"{library} has no version")
    library.unlink()  # it may be a link to the real one
    library.write_bytes(changed.replace(b'"ExecutionManager"', b'"ExecutionMenager"'))


def link(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def run_fast(command, *flags, **options):
    """With enough samples for shares."""
    return Run(command, ["--sample-rate", "1000", *flags], **options)


class PerfMap(unittest.TestCase):
    def setUp(self):
        dotnet.CACHE.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="unreadable-", dir=dotnet.CACHE)
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def command(self, form, version, seconds, shown_version="99"):
        command = dotnet.build("Shares", form, version)
        # A program is of its own, or run by the command beside which the runtimes are.
        home = pathlib.Path(os.path.realpath(command[0])).parent
        runtime = pathlib.Path("shared/Microsoft.NETCore.App") if form == "framework_dependent" else pathlib.Path()
        shutil.copytree(home / runtime, self.folder / runtime, copy_function=link, dirs_exist_ok=True)
        if form == "framework_dependent":
            shutil.copytree(home / "host", self.folder / "host", copy_function=link)
            link(home / "dotnet", self.folder / "dotnet")
        for library in self.folder.rglob("libcoreclr.so"):
            make_unreadable(library, shown_version)
        return [str(self.folder / pathlib.Path(command[0]).name), *command[1:], str(seconds)]

    def said(self, pattern, stderr):
        """What the one line about it says."""
        lines = [line for line in stderr.splitlines() if " is shown as machine code" in line]
        self.assertEqual(len(lines), 1, stderr)
        found = pattern.search(lines[0])
        self.assertIsNotNone(found, lines[0])
        return found

    def check_named(self, run, how, why=r"this agent cannot read \.NET 99\.0 \(.+\)$"):
        self.assertEqual(run.status, 0, run.stderr)
        found = self.said(NAMED, run.stderr)
        self.addCleanup(os.unlink, found[4])
        self.assertRegex(found[2], why)
        self.assertEqual(found[3], how)
        self.assertEqual(run.stdout.splitlines()[0], "ready")
        truth, total = run.truth(), run.profile.total("cpu")
        inclusive = run.profile.inclusive("cpu")
        for name in ("Truth.Square.Draw", "Truth.Circle.Draw"):
            method = "instance int64 [shares] {}::{}(int32)".format(*name.rsplit(".", 1))
            share, true = inclusive.get(method, 0) / total, truth["functions"][name] / truth["process"]
            print(f"  {name}: sampled {share:.2%}, true {true:.2%}")
            self.assertAlmostEqual(share, true, delta=0.04, msg=name)
        self.assertIn("void [shares] Truth.Shares::Main(string[])", inclusive)

    def test_10_framework_dependent(self):
        self.check_named(run_fast(self.command("framework_dependent", "10", 3)), "was asked to write")

    def test_9_self_contained(self):
        self.check_named(run_fast(self.command("self_contained", "9", 3)), "was asked to write")

    def test_8_self_contained(self):
        self.check_named(run_fast(self.command("self_contained", "8", 3)), "was asked to write")

    def test_8_by_the_layout_of_9(self):
        """What fails here is the look at some of its methods, which takes ten seconds to be sure."""
        run = Run(self.command("self_contained", "8", 12, "9"))
        self.assertEqual(run.status, 0, run.stderr)
        found = self.said(NAMED, run.stderr)
        self.addCleanup(os.unlink, found[4])
        self.assertRegex(found[2], r"^its \.NET cannot be read: \d+ of \d+ methods of \.NET 9\.0 can be read$")
        self.assertEqual(found[3], "was asked to write")
        self.assertIn("instance int64 [shares] Truth.Square::Draw(int32)", run.profile.inclusive("cpu"))

    def test_8_waits_to_start(self):
        """The order for a perf map would kill it now."""
        temporary = self.folder / "temporary"
        temporary.mkdir()
        options = {"DOTNET_DefaultDiagnosticPortSuspend": "1", "TMPDIR": str(temporary)}
        command = self.command("self_contained", "8", 2)
        resuming = threading.Thread(target=self.resume, args=[temporary])
        resuming.start()
        self.addCleanup(resuming.join)
        run = run_fast(command, env=dict(os.environ, **options))
        self.assertEqual(run.status, 0, run.stderr)
        self.addCleanup(os.unlink, self.said(NAMED, run.stderr)[4])

    @staticmethod
    def resume(folder):
        deadline = time.monotonic() + 20
        while not (found := list(folder.glob("dotnet-diagnostic-*-socket"))):
            if time.monotonic() > deadline:
                raise AssertionError("no socket")
            time.sleep(0.01)
        time.sleep(1)  # time enough to be killed
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.connect(str(found[0]))
            runtime.sendall(b"DOTNET_IPC_V1\0" + struct.pack("<HBBH", 20, 4, 1, 0))
            runtime.recv(100)

    def test_one_that_it_writes_anyway(self):
        command = self.command("framework_dependent", "10", 2)
        environment = dict(os.environ, DOTNET_EnableDiagnostics="0")
        self.check_named(run_fast(command, "--dotnet-perfmap", env=environment), "writes")

    def test_no_socket(self):
        run = Run(self.command("framework_dependent", "10", 2), env=dict(os.environ, DOTNET_EnableDiagnostics="0"))
        self.assertEqual(run.status, 0, run.stderr)
        self.assertEqual(run.stdout.splitlines()[0], "ready")
        why = self.said(UNNAMED, run.stderr)[1]
        self.assertEqual(why, "it has no diagnostics socket; --dotnet-perfmap gives its methods their names")
        names = run.profile.inclusive("cpu")
        self.assertFalse([name for name in names if "Draw" in name])
        self.assertTrue([name for name in names if name.startswith("libcoreclr.so+")])

    def test_connected_twice(self):
        """The runtime stops writing when the agent leaves."""
        command = self.command("framework_dependent", "10", 30)
        temporary = self.folder / "temporary"
        temporary.mkdir()
        target = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ, TMPDIR=str(temporary)))
        self.addCleanup(target.communicate)
        self.addCleanup(target.kill)
        self.assertEqual(target.stdout.readline(), "ready\n")
        for _ in range(2):
            run = subprocess.run([AGENT, "connect", "--pid", str(target.pid), "--duration", "2s", "-o", self.folder / "run.folded"],
                                 capture_output=True, text=True, timeout=30)
            self.assertEqual(run.returncode, 0, run.stderr)
            found = self.said(NAMED, run.stderr)
            self.assertEqual(found[3], "was asked to write")
            self.assertGreater(os.stat(found[4]).st_size, 0)
            self.assertIn("Truth.Square::Draw(int32)", (self.folder / "run.folded").read_text())
            self.assertEqual([name for name in self.open_files(target.pid) if name.endswith(".map")], [])
            self.assertIsNone(target.poll())
        os.unlink(found[4])

    @staticmethod
    def open_files(pid):
        names = []
        for link_of in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                names.append(os.readlink(link_of))
            except OSError:
                pass  # closed meanwhile
        return names


if __name__ == "__main__":
    unittest.main()
