# SPDX-License-Identifier: Apache-2.0
"""The agent as a container's first process, and below the inits that images have: what init must do, it does."""

import os
import pathlib
import signal
import tempfile

import container_images
import launching
import podman
import terminal
from container_images import PROGRAMS
from container_test import BUSY, ContainerTest
from test_launch_signals import CATCHABLE, SI_QUEUE, SI_USER, queue

ORPHANS = """
import os, pathlib, time
for _ in range(200):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
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
end = time.monotonic() + 20
while zombies() and time.monotonic() < end:
    time.sleep(0.01)
print("zombies", zombies())
"""


class Init(ContainerTest):
    def image(self):
        agent = f"COPY --from={podman.agent()} /usr/bin/agent /usr/bin/agent\n"
        return podman.build("init", f"FROM {podman.base('bookworm')}\n{agent}"
                            "COPY service.py signal_log /srv/\nCOPY tini dumb-init /usr/bin/\n",
                            [PROGRAMS / "service.py", launching.program("signal_log"), "/usr/bin/tini", "/usr/bin/dumb-init"])

    def start(self, *command, flags=(), before=("agent", "exec")):
        container = podman.Container(self.image(), *before, *command, flags=[*self.environment(), *flags])
        self.addCleanup(container.remove)
        container.wait_for("ready")
        return container

    def test_200_orphans_are_reaped(self):
        run = podman.run(self.image(), "agent", "exec", "python", "-c", ORPHANS, flags=self.environment())
        self.assertEqual((run.returncode, run.stdout), (0, "zombies 0\n"), run.stderr)

    def test_every_signal_arrives_once_and_with_its_value(self):
        container = self.start("/srv/signal_log")
        pid = int(container.inspect(".State.Pid"))
        expected = []
        for number in CATCHABLE:
            if number == signal.SIGCHLD:
                continue
            os.kill(pid, number)
            expected.append(f"{number} {SI_USER} 0")
            # One by one: a stop signal takes a pending SIGCONT away, and the other way round.
            self.wait_for_lines(container, ["ready", *expected])
        for number, value in ((40, 4711), (41, 4712)):
            queue(pid, number, value)
            expected.append(f"{number} {SI_QUEUE} {value}")
            self.wait_for_lines(container, ["ready", *expected])
        os.kill(pid, signal.SIGCHLD)
        queue(pid, 64, 64)
        self.assertEqual(container.wait(), 0)
        self.assertEqual(container.output()[0].splitlines(), ["ready", *expected, f"64 {SI_QUEUE} 64"])

    def wait_for_lines(self, container, lines):
        log = pathlib.Path(container.inspect(".HostConfig.LogConfig.Path"))

        def shown():
            return [line.split(" ", 3)[3] for line in log.read_text().splitlines() if " stdout " in line]

        launching.wait_until(lambda: len(shown()) >= len(lines), lines[-1])
        self.assertEqual(shown(), lines)

    def test_program_that_ignores_sigterm_is_killed_as_without_us(self):
        container = self.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
        self.assertEqual(container.stop(1), 137)

    def test_four_seconds_of_a_grace_period_of_five(self):
        container = self.start("python", "/srv/service.py", "4")
        self.wait_for_functions({"tokenize": 20})
        self.assertEqual(container.stop(5), 7)
        self.assertEqual((container.output()[0], BUSY.sub("", container.output()[1])), ("ready\nbye\n", ""))
        self.assertEqual(self.server.errors(), [])

    def test_death_of_the_sampler(self):
        container = self.start("python", "/srv/service.py")
        self.wait_for_functions({"tokenize": 20})
        (sampler,) = launching.children_of(int(container.inspect(".State.Pid")))
        os.kill(sampler, signal.SIGKILL)
        launching.wait_until(lambda: "was ended by signal 9" in container.output()[1], "the line")
        self.assertEqual(container.stop(), 7)
        self.assertEqual(container.output()[0], "ready\nbye\n")
        self.assertEqual(len(BUSY.sub("", container.output()[1]).splitlines()), 1)

    def test_below_other_inits(self):
        command = ["agent", "exec", "python", "/srv/service.py"]
        for name, before, flags in (("catatonit", (), ["--init"]), ("tini", ["tini", "--"], []),
                                    ("dumb-init", ["dumb-init"], [])):
            with self.subTest(name):
                container = self.start(*command, before=before, flags=flags)
                self.wait_for_functions({"tokenize": 20})
                # dumb-init sends to the whole session, so the program gets it twice.
                self.assertEqual(container.stop(), 7)
                self.assertEqual(container.output()[0], "ready\nbye\n")

    def test_below_a_shell(self):
        container = self.start(before=["sh", "-c", "agent exec python /srv/service.py & trap 'kill $!' TERM; wait; wait $!; exit $?"])
        self.wait_for_functions({"tokenize": 20})
        self.assertEqual(container.stop(), 7)


class Terminal(ContainerTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="agent-test-")
        self.addCleanup(folder.cleanup)
        self.shell = terminal.Shell(folder.name)
        self.addCleanup(podman.podman, "rm", "-i", "-f", "-t", "0", "terminal")
        self.addCleanup(self.shell.close)

    def enter(self, *command):
        """A container on the terminal, up to its own prompt."""
        words = ["env", f"CONTAINERS_CONF={podman.CONFIG}", f"TMPDIR={podman.PLACE}", "podman", "--root",
                 str(podman.PLACE / "storage"), "--runroot", podman.RUN, "run", "--rm", "--name", "terminal", "-it", "--network", "host",
                 *self.environment("PS1=INSIDE:", "PYROSCOPE_NO_LOGGING=true"), "--entrypoint", "''",
                 container_images.python("bookworm"), *command]
        self.shell.type(" ".join(words) + "\n")
        self.shell.expect("INSIDE:")

    def suspend_and_resume(self, job):
        self.shell.type(f"{job}\n")
        self.shell.type("first\n")
        self.shell.expect(r"first\r\nfirst\r\n")
        self.shell.type("\x1a")
        self.shell.expect("Stopped")
        self.shell.expect("INSIDE:")
        self.shell.type("jobs\n")
        self.shell.expect(r"Stopped.*\r\n.*INSIDE:")
        self.shell.type("fg\n")
        self.shell.expect(rf"fg\r\n{job}\r\n")
        self.shell.type("second\n")
        self.shell.expect(r"second\r\nsecond\r\n")
        self.shell.type("\x03")
        self.shell.expect("INSIDE:")
        self.shell.type("echo status=$?\n")
        self.shell.expect("status=130")
        self.shell.type("exit 3\n")
        self.assertEqual(self.shell.status(), 3)

    def test_jobs_of_a_shell_below_the_agent(self):
        self.enter("agent", "exec", "bash", "--norc", "--noediting", "-i")
        self.suspend_and_resume("cat")

    def test_the_agent_as_a_job(self):
        self.enter("bash", "--norc", "--noediting", "-i")
        self.suspend_and_resume("agent exec cat")
