# SPDX-License-Identifier: Apache-2.0
"""The lines that stand in images for the old agent, unchanged, with the environment of the demo's manifests."""

import pathlib

import dotnet
import podman
import receiver
from container_test import BUSY, ContainerTest
from container_images import PROGRAMS

# The name "pyroscope" of the manifests, on an address where nobody else listens.
HOST = "127.0.40.40"
# The demo's manifests: limits, and the capability that the old agent asked for.
POD = ["--add-host", f"pyroscope:{HOST}", "--cpus", "0.2", "-m", "128m", "--cap-add", "SYS_PTRACE", "-e", "PYROSCOPE_UPLOAD_INTERVAL=1s"]
GRACE = 5  # terminationGracePeriodSeconds
PYTHON = {"tokenize": 10, "checksum": 2}


def old_agent():
    return f"COPY --from={podman.agent()} /usr/bin/pyroscope /usr/bin/pyroscope\n"


class OldLines(ContainerTest):
    def setUp(self):
        super().setUp()
        self.pyroscope = receiver.Receiver(host=HOST, port=4040)
        self.addCleanup(self.pyroscope.stop)

    def check(self, image, name, wanted, flags=(), status=7, tags=()):
        with podman.Container(image, flags=[*POD, *flags]) as container:
            container.wait_for("ready")
            self.wait_for_functions(wanted, self.pyroscope)
            self.assertEqual(container.stop(GRACE), status)
            output = container.output()
        self.assertEqual(self.pyroscope.errors(), [])
        for profile in self.pyroscope.profiles():
            self.assertEqual(profile["labels"]["service_name"], name)
            self.assertEqual(dict(tags), {key: profile["labels"].get(key) for key in dict(tags)})
        return output

    def test_email_server(self):
        image = podman.build("old-email", f"""FROM {podman.base("bookworm")}
{old_agent()}WORKDIR /email_server
COPY service.py email_server.py
ENV PYROSCOPE_SERVER_ADDRESS "http://pyroscope:4040"
ENV PYROSCOPE_APPLICATION_NAME "email.service"
CMD [ "pyroscope", "exec", "python", "email_server.py" ]
""", [PROGRAMS / "service.py"])
        stdout, stderr = self.check(image, "email.service", PYTHON)
        self.assertEqual((stdout, BUSY.sub("", stderr)), ("ready\nbye\n", ""))

    def test_recommendation_server(self):
        image = podman.build("old-recommendation", f"""FROM {podman.base("bullseye")}
{old_agent()}COPY service.py /recommendationservice/recommendation_server.py
ENTRYPOINT [ "pyroscope", "exec", "python", "/recommendationservice/recommendation_server.py" ]
""", [PROGRAMS / "service.py"])
        self.check(image, "recommendation_server.app", PYTHON, [
            "-e", "PYROSCOPE_SERVER_ADDRESS=http://pyroscope:4040",
            "-e", "PYROSCOPE_APPLICATION_NAME=recommendation_server.app{zone=eu}"], tags={"zone": "eu"}.items())

    def test_cart_service(self):
        # Single-file, trimmed and self-contained, as the demo's.
        (command,) = dotnet.build("Shares", "trimmed")
        image = podman.build("old-cart", f"""FROM {podman.base("bookworm")}
ENV DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
{old_agent()}COPY cartservice /app/cartservice
ENTRYPOINT ["pyroscope", "exec", "-spy-name", "dotnetspy", "/app/cartservice"]
CMD ["120"]
""", [(pathlib.Path(command), "cartservice")])
        _, stderr = self.check(image, "cart.dotnet.app", {"Truth.Square.Draw": 3}, [
            "-e", "PYROSCOPE_SERVER_ADDRESS=http://pyroscope:4040/", "-e", "PYROSCOPE_APPLICATION_NAME=cart.dotnet.app",
            "-e", "PYROSCOPE_LOG_LEVEL=debug"], status=143)
        self.assertEqual([line for line in stderr.splitlines() if not line.startswith("agent: ")], [])

    def test_load_generator(self):
        image = podman.build("old-loadgen", f"""FROM {podman.base("trixie")}
{old_agent()}WORKDIR /loadgen
COPY service.py loadgen.sh ./
ENV PYROSCOPE_SERVER_ADDRESS "http://pyroscope:4040"
ENV PYROSCOPE_APPLICATION_NAME "loadgen.app"
ENTRYPOINT ["pyroscope", "exec", "-spy-name", "pyspy", "./loadgen.sh"]
""", [PROGRAMS / "service.py", PROGRAMS / "loadgen.sh"])
        stdout, _ = self.check(image, "loadgen.app", PYTHON)
        self.assertEqual(stdout, "ready\nbye\n")


class OtherUser(ContainerTest):
    """-user-name and -group-name: ids and groups before exec, and a sampler that may still look."""

    def image(self):
        return podman.build("old-user", f"""FROM {podman.base("bookworm")}
{old_agent()}RUN echo 'shop:x:1234:2345::/:/bin/sh' >>/etc/passwd && echo 'shop:x:2345:' >>/etc/group && \\
    echo 'cart:x:2346:games,shop' >>/etc/group && echo 'mail2:x:2347:shop' >>/etc/group
COPY who.py /
""", [PROGRAMS / "who.py"])

    def check(self, flags, who, more=()):
        command = ["pyroscope", "exec", *flags, "python", "/who.py"]
        with receiver.Receiver() as server:
            with podman.Container(self.image(), *command, flags=[*self.environment(server=server), *more]) as container:
                container.wait_for("ready")
                self.wait_for_functions({"tokenize": 20}, server)
                self.assertEqual(container.stop(), 7)
                stdout, stderr = container.output()
                self.assertEqual((stdout, BUSY.sub("", stderr)), (f"ready {who}\n", ""))

    def test_user_by_name(self):
        self.check(["-user-name", "shop"], "(1234, 1234, 1234) (2345, 2345, 2345) [2345, 2346, 2347]")

    def test_user_by_number(self):
        self.check(["-user-name", "1234"], "(1234, 1234, 1234) (2345, 2345, 2345) [2345, 2346, 2347]")

    def test_user_and_group(self):
        self.check(["-user-name", "shop", "-group-name", "games"], "(1234, 1234, 1234) (60, 60, 60) [60, 2346, 2347]")
        self.check(["-user-name", "4321", "-group-name", "5432"], "(4321, 4321, 4321) (5432, 5432, 5432) [5432]")

    def test_group_alone(self):
        self.check(["-group-name", "cart"], "(0, 0, 0) (2346, 2346, 2346) [2346]")

    def test_with_the_right_to_look_into_all(self):
        self.check(["-user-name", "shop"], "(1234, 1234, 1234) (2345, 2345, 2345) [2345, 2346, 2347]",
                   ["--cap-add", "SYS_PTRACE"])

    def test_without_the_right_to_signal_others(self):
        # The program runs and is stopped in time; it is not looked into.
        command = ["pyroscope", "exec", "-user-name", "shop", "python", "/who.py"]
        with podman.Container(self.image(), *command, flags=[*self.environment(), "--cap-drop", "KILL"]) as container:
            container.wait_for("ready")
            self.assertEqual(container.stop(), 7)
            self.assertEqual(len(container.output()[1].splitlines()), 1, container.output())

    def test_unknown_names_start_nothing(self):
        for flags, error in ((["-user-name", "nosuch"], "there is no such user: nosuch (in /etc/passwd)"),
                             (["-group-name", "nosuch"], "there is no such group: nosuch (in /etc/group)"),
                             (["-user-name", "4321"], "the group must be given as well: user 4321 is not in /etc/passwd")):
            with self.subTest(flags):
                run = podman.run(self.image(), "pyroscope", "exec", *flags, "echo", "started", flags=self.environment())
                self.assertEqual((run.returncode, run.stdout), (125, ""))
                self.assertEqual(run.stderr, f"agent: --user-name, --group-name: {error}\n")

    def test_nobody_but_root_may(self):
        run = podman.run(self.image(), "pyroscope", "exec", "-user-name", "shop", "echo", "started",
                         flags=[*self.environment(), "--user", "1000:1000"])
        self.assertEqual((run.returncode, run.stdout), (125, ""))
        self.assertIn("CAP_SETUID", run.stderr)
