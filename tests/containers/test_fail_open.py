# SPDX-License-Identifier: Apache-2.0
"""Where the agent may not do what it needs: the program starts, runs and ends as without it, and at most one line says why."""

import pathlib
import tempfile

import container_images
import dns_server
import podman
import receiver
from container_images import PROGRAMS
from container_test import AS_USER, BUSY, ContainerTest

PYTHON = {"tokenize": 20, "checksum": 3}
NATIVE = {"tokenize": 20, "checksum": 3, "main": 20}
# What runtimes before Docker 20.10.10 and containerd 1.5 answer for calls that they do not know.
OLD_RUNTIME = ["clone3", "pidfd_open", "pidfd_getfd", "openat2", "close_range", "faccessat2", "epoll_pwait2", "process_madvise"]


class Case(ContainerTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="agent-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def filter(self, **what):
        return ["--security-opt", podman.seccomp(path=self.folder / "seccomp.json", **what)]

    def check(self, image, flags, wanted, lines=0, command=(), status=7, stdout="ready\nbye\n", pattern=r"\A"):
        """Runs it, with SIGTERM once `wanted` is at the receiver (nothing: once it is ready). Returns stderr."""
        with receiver.Receiver() as server:
            with podman.Container(image, *command, flags=[*flags, *self.environment(server=server)]) as container:
                container.wait_for("ready")
                if wanted:
                    self.wait_for_functions(wanted, server)
                self.assertEqual(container.stop(), status)
                out, err = container.output()
            err = BUSY.sub("", err)
            self.assertEqual(out, stdout, err)
            self.assertEqual(len(err.splitlines()), lines, err)
            self.assertRegex(err, pattern)
            self.assertEqual(server.errors(), [])
            if not wanted:
                self.assertEqual({n for p in server.profiles() for n in p["functions"]} & {"tokenize", "checksum"}, set())
        return err

    def python(self, code):
        """An image whose program is service.py after some lines of its own."""
        service = (PROGRAMS / "service.py").read_text()
        (self.folder / "service.py").write_text(f"{code}\n{service}")
        return podman.build("fail-open", f"FROM {podman.base('bookworm')}\nCOPY --from={podman.agent()} /usr/bin/agent /usr/bin/agent\n"
                            'COPY service.py /srv/\nENTRYPOINT ["agent", "exec", "python", "/srv/service.py"]\n',
                            [self.folder / "service.py"])

    def doctor(self, flags, status, pattern, command=("doctor",), image=None):
        run = podman.run(image or container_images.native("static"), *command,
                         flags=[*flags, "--entrypoint", "/usr/bin/agent"])
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        self.assertRegex(run.stdout, pattern)


class Filters(Case):
    def test_process_vm_readv_is_refused(self):
        flags = self.filter(refused=["process_vm_readv"])
        self.check(container_images.python("bookworm"), flags, PYTHON)
        self.check(container_images.python("bullseye"), flags, PYTHON)
        self.check(container_images.native("static"), flags, NATIVE)
        self.doctor(flags, 0, r"ok +reading memory: /proc/PID/mem, for a filter refuses process_vm_readv")

    def test_ptrace_is_refused(self):
        flags = self.filter(refused=["ptrace"])
        # Python of 3.11 and later is read without a stop, which has its price.
        image = self.python("import threading\n\ndef dive(n):\n    return n and dive(n - 1)\n\ndef swim():\n    while True:\n        dive(30)\n\n"
                            "threading.Thread(target=swim, daemon=True).start()")
        self.check(image, flags, {"swim": 250}, 1, pattern="is read without stopping it.*a filter refuses ptrace")
        self.check(container_images.native("static"), flags, {}, 1, pattern="seccomp: a filter refuses ptrace.*--cap-add SYS_PTRACE")
        self.doctor(flags, 1, r"BLOCKS +seccomp: a filter refuses ptrace[^\n]*\n +docker run +--cap-add SYS_PTRACE\n")

    def test_both_are_refused(self):
        flags = self.filter(refused=["ptrace", "process_vm_readv"])
        self.check(container_images.python("bookworm"), flags, PYTHON)
        self.check(container_images.native("static"), flags, {}, 1, pattern="seccomp: a filter refuses ptrace")
        self.doctor(flags, 1, "BLOCKS +seccomp")

    def test_old_runtime_that_answers_eperm_for_what_it_does_not_know(self):
        flags = self.filter(absent=OLD_RUNTIME, default_errno=1)
        self.check(container_images.native("static"), flags, NATIVE)
        # bullseye's libc does not know clone3 and runs below such a runtime as it did.
        self.check(container_images.python("bullseye"), flags, PYTHON)
        self.doctor(flags, 0, "sampling works")

    def test_old_runtime_that_refuses_process_vm_readv_as_well(self):
        flags = self.filter(absent=[*OLD_RUNTIME, "process_vm_readv"], default_errno=1)
        self.check(container_images.native("static"), [*flags, *AS_USER], NATIVE)


class Programs(Case):
    def test_another_user(self):
        # It is looked into until it changes; then the one line.
        image = self.python("import os; os.setgroups([]); os.setgid(1234); os.setuid(1234)")
        self.check(image, [], {}, 1, pattern=r"user and group: ours 0:0, the program's 1234:1234; .*--user 1234:1234")
        self.check(image, ["--cap-add", "SYS_PTRACE"], PYTHON)

    def test_not_dumpable(self):
        image = container_images.native("static")
        self.check(image, AS_USER, {}, 1, ["hidden"], pattern="the program's own wish: it is not dumpable.*--cap-add SYS_PTRACE")
        self.check(image, ["--cap-add", "SYS_PTRACE"], NATIVE, 0, ["hidden"])


class Surroundings(Case):
    def test_user_namespace(self):
        flags = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"]
        self.check(container_images.native("static"), flags, NATIVE)
        self.check(container_images.python("bookworm"), [*flags, "--user", "1000:1000"], PYTHON)

    def test_memory_limit_of_64_mib(self):
        flags = ["-m", "64m"]
        self.check(container_images.python("bookworm"), flags, PYTHON)
        self.check(container_images.native("static"), flags, NATIVE)

    def test_a_tenth_of_a_cpu(self):
        self.check(container_images.python("bookworm"), ["--cpus", "0.1"], {"tokenize": 5})

    def test_full_disk(self):
        flags = ["--tmpfs", "/out:size=16k", "--entrypoint", "sh"]
        script = "head -c 16384 /dev/zero >/out/full; exec agent exec -o /out/run.pb.gz python /srv/service.py"
        self.check(container_images.python("bookworm"), flags, PYTHON, 1, ("-c", script),
                   pattern="not written.*No space left on device")

    def test_no_proc(self):
        # Without the capability to mount it again.
        flags = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--entrypoint", "sh"]
        script = "umount -l /proc; exec agent exec python /srv/service.py"
        self.check(container_images.python("bookworm"), flags, {}, 1, ("-c", script), pattern="/proc")
        run = podman.run(container_images.python("bookworm"), "-c", "umount -l /proc; agent doctor", flags=flags)
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stdout, "BLOCKS +/proc")


class Names(ContainerTest):
    """Whom the profiles go to is found without anything of the image's."""

    PLUGINS = "passwd: files systemd sss\ngroup: files systemd sss\nhosts: files mdns4_minimal [NOTFOUND=return] resolve mymachines dns\n"

    def check(self, flags, server, files, address):
        copies = "".join(f"COPY {name} /etc/{name}\n" for name in files)
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            paths = []
            for name, text in files.items():
                paths.append(pathlib.Path(folder) / name)
                paths[-1].write_text(text)
            image = podman.build("names", f"FROM {container_images.python('bookworm')}\n{copies or 'ENV NONE=none'}\n", paths)
        environment = ["-e", f"PYROSCOPE_SERVER_ADDRESS={address}", "-e", "PYROSCOPE_UPLOAD_INTERVAL=1s"]
        with podman.Container(image, flags=[*flags, *environment]) as container:
            container.wait_for("ready")
            self.wait_for_functions(PYTHON, server)
            self.assertEqual(container.stop(), 7)
            self.assertEqual(BUSY.sub("", container.output()[1]), "")

    def test_from_etc_hosts_with_plugins_in_nsswitch_conf(self):
        self.check(["--add-host", "pyroscope.test:127.0.0.1"], self.server, {"nsswitch.conf": self.PLUGINS},
                   f"http://pyroscope.test:{self.server.port}")

    def test_from_a_dns_server_with_plugins_in_nsswitch_conf(self):
        with dns_server.DnsServer({"pyroscope.test.": "127.0.0.1"}) as dns:
            self.check(["--dns", dns.address], self.server, {"nsswitch.conf": self.PLUGINS},
                       f"http://pyroscope.test:{self.server.port}")
            self.assertIn("pyroscope.test.", dns.asked())
