# SPDX-License-Identifier: Apache-2.0
"""For tests of how programs are launched: commands, the four processes of a run, and waiting for a condition."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

AGENT = os.environ["AGENT_BINARY"]
BUILD = pathlib.Path(os.environ["AGENT_BUILD"])
PROBE = str(BUILD / "bin" / "launch_probe")
DEADLINE = 20  # seconds until what must happen counts as not happening


def program(name):
    """A program of tests/programs."""
    return str(BUILD / "bin" / name)


def wait_until(condition, what, seconds=DEADLINE, pause=0.005):
    """Returns the condition's first true value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)


def state_of(pid):
    """The letter of /proc/PID/stat; "" when there is no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_gone(pid):
    return state_of(pid) in ("", "Z", "X")


def cpu_wait(pid):
    """Seconds that `pid` has waited for a CPU so far, its main thread or, in a sampler, the one that stops others; 0 when there
    is no such process."""
    try:
        tasks = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        task = next((task for task in tasks if (task / "comm").read_text() == "agent-sampling\n"), pathlib.Path(f"/proc/{pid}"))
        return int((task / "schedstat").read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def cpu_time(pid):
    """Seconds of CPU that all threads of `pid` have used so far."""
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def own_share(pid, seconds):
    """What part of one core `pid` uses from now on."""
    begin, used = time.monotonic(), cpu_time(pid)
    time.sleep(seconds)
    return (cpu_time(pid) - used) / (time.monotonic() - begin)


class CpuWaits:
    """How long `pids` have waited for a CPU since now, all together, in seconds; of those that end, up to the last look."""

    def __init__(self, *pids):
        self._before = {pid: cpu_wait(pid) for pid in pids}
        self._latest = dict(self._before)

    def look(self):
        for pid, latest in self._latest.items():
            self._latest[pid] = max(latest, cpu_wait(pid))
        return sum(self._latest.values()) - sum(self._before.values())


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid):
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


class Run:
    """A program that has printed "ready" under the agent. Without `family` its sampler may have ended already."""

    def __init__(self, command, family=True, **options):
        self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True, **options)
        self.keeper = self.popen.pid
        self.sampler = self.launcher = self.target = 0
        try:
            self.expect("ready")
            if family:
                (self.sampler,) = children_of(self.keeper)
                self.launcher = children_of(self.sampler)[0]
                self.target = children_of(self.launcher)[0]
        except BaseException:
            self.kill()
            raise

    def expect(self, line):
        got = self.popen.stdout.readline().rstrip("\n")
        if got != line:
            raise AssertionError(f"{line!r} expected, got {got!r}")

    def end(self):
        """Return code, rest of stdout, stderr."""
        try:
            out, err = self.popen.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            raise
        return self.popen.returncode, out, err

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
            # Without its launcher the program would live on, and hold the pipes.
            if self.target and is_gone(self.launcher) and not is_gone(self.target):
                os.kill(self.target, signal.SIGKILL)
        self.popen.communicate()


class LaunchTest(unittest.TestCase):
    def setUp(self):
        # Reads of a program's output have no deadline of their own.
        signal.signal(signal.SIGALRM, self._give_up)
        signal.alarm(3 * DEADLINE)
        self.addCleanup(signal.alarm, 0)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def _give_up(self, *_):
        raise AssertionError(f"{self.id()} hangs")

    def agent(self, *argv, binary=AGENT):
        return [binary, "exec", "-o", str(self.folder / "profile.pb.gz"), *argv]

    def start(self, *argv, binary=AGENT, **options):
        run = Run(self.agent(*argv, binary=binary), **options)
        self.addCleanup(run.kill)
        return run

    def run_agent(self, *argv, binary=AGENT, **options):
        return subprocess.run(self.agent(*argv, binary=binary), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE, check=False, **options)
