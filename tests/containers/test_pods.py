# SPDX-License-Identifier: Apache-2.0
"""The manifests and example Dockerfiles of docker/: built and played as they are, but for the server's address."""

import concurrent.futures
import pathlib
import shutil
import tempfile

import container_images
import dotnet
import podman
from container_images import PROGRAMS
from container_test import ContainerTest, samples_by_function

DOCKER = pathlib.Path(__file__).resolve().parents[2] / "docker"
ADDRESS = "http://pyroscope:4040"
# podman 4.3 removes an init container at its end, and does not see that end before 20 s have gone by.
KEEP_INIT = ("\nmetadata:\n", "\nmetadata:\n  annotations: {io.podman.annotations.init.container.type: always}\n")
PYTHON = {"tokenize": 20, "checksum": 3}


class Pods(ContainerTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="agent-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        podman.tag(podman.agent(), "agent")

    def play(self, name, wanted):
        """Until each service ({name: {function: samples}}) has its functions at the receiver."""
        text = (DOCKER / "kubernetes" / name).read_text()
        self.assertIn(ADDRESS, text)
        self.addCleanup(podman.podman, "volume", "prune", "-f")
        self.addCleanup(podman.remove_pods)
        # It makes an emptyDir a volume of that name, which all pods then have in common.
        podman.podman("volume", "create", "agent")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(self.play_one, text.replace(ADDRESS, self.server.address).replace(*KEEP_INIT).split("\n---\n"),
                          range(10)))
        for service, functions in wanted.items():
            self.server.wait_for(lambda requests: self.has(requests, service, functions), f"{service} of {name}", podman.DEADLINE)
        self.assertEqual(self.server.errors(), [])

    def play_one(self, text, number):
        if "kind:" in text:
            manifest = self.folder / f"{number}.yaml"
            manifest.write_text(text)
            podman.podman("play", "kube", "--network", "host", manifest)

    @staticmethod
    def has(requests, service, functions):
        of_service = [{"profiles": [profile for profile in request.get("profiles", [])
                                    if profile["labels"]["service_name"] == service]} for request in requests]
        seen = samples_by_function(of_service)
        return all(seen.get(function, 0) >= least for function, least in functions.items())

    def example(self, name, tag, files):
        recipe = (DOCKER / "examples" / f"{name}.Dockerfile").read_text()
        podman.tag(podman.build(f"example-{name}", recipe, files), tag)

    def plain(self, name, suite, files, lines):
        podman.tag(podman.build(f"plain-{name}", f"FROM {podman.base(suite)}\n{lines}", files), f"{name}-plain")

    def test_wrapped(self):
        podman.base("bookworm")
        self.example("python", "email", [(PROGRAMS / "service.py", "email_server.py")])
        self.play("wrapped.yaml", {"email.service": PYTHON})

    def test_init_container(self):
        (cart,) = dotnet.build("Shares", "trimmed")
        service = PROGRAMS / "service.py"
        self.plain("email", "bookworm", [service], "WORKDIR /srv\nCOPY service.py email_server.py\n")
        self.plain("recommendation", "bullseye", [service], "COPY service.py /recommendationservice/recommendation_server.py\n")
        self.plain("loadgenerator", "trixie", [service, PROGRAMS / "loadgen.sh"], "WORKDIR /loadgen\nCOPY service.py loadgen.sh ./\n")
        self.plain("cart", "bookworm", [(cart, "cartservice")],
                   "ENV DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1\nCOPY cartservice /app/shares\n"
                   "RUN printf '#!/bin/sh\\nexec /app/shares 120\\n' >/app/cartservice && chmod +x /app/cartservice\n")
        self.play("init-container.yaml", {
            "email.service": PYTHON, "recommendation_server.app": PYTHON, "loadgen.app": PYTHON,
            "cart.dotnet.app": {"Truth.Square.Draw": 3}})

    def test_sidecar(self):
        self.plain("email", "bookworm", [PROGRAMS / "service.py"], "WORKDIR /srv\nCOPY service.py email_server.py\n")
        self.play("sidecar.yaml", {"email.service": PYTHON})


class Examples(ContainerTest):
    """Each Dockerfile of docker/examples builds, and its service is profiled as it is built."""

    def check(self, name, files, wanted, command=()):
        podman.tag(podman.agent(), "agent")
        image = podman.build(f"example-{name}", (DOCKER / "examples" / f"{name}.Dockerfile").read_text(), files)
        with podman.Container(image, *command, flags=[*self.environment(), "--cap-drop=ALL", "--read-only"]) as container:
            container.wait_for("ready")
            self.wait_for_functions(wanted)

    def test_python(self):
        podman.base("bookworm")
        self.check("python", [(PROGRAMS / "service.py", "email_server.py")], PYTHON)

    def test_native(self):
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            self.check("native", [(container_images.compiled("static", folder), "shop")], PYTHON)

    def test_dotnet(self):
        podman.base("bookworm")
        (command,) = dotnet.build("Shares", "self_contained")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            app = shutil.copytree(pathlib.Path(command).parent, pathlib.Path(folder) / "app")
            (app / "cartservice").symlink_to("shares")
            self.check("dotnet", [(app, "app")], {"Truth.Square.Draw": 3}, ["120"])
