# SPDX-License-Identifier: Apache-2.0
"""The agent in the images that users have: functions by name, output and status of the program's own, an end in time."""

import container_images
import podman
import receiver
from container_test import AS_USER, BUSY, RESTRICTED, SMALL, ContainerTest

RIGHTS = {"root": [], "user": AS_USER, "restricted": RESTRICTED, "small": SMALL}
WANTED = {"tokenize": 20, "checksum": 3, "main": 20}


class Case(ContainerTest):
    def check(self, image, flags, wanted, output, status):
        """Runs the image until a receiver has `wanted`, and stops it; {function: samples}."""
        with receiver.Receiver() as server:
            environment = self.environment("PYROSCOPE_APPLICATION_NAME=shop", server=server)
            with podman.Container(image, flags=[*flags, *environment]) as container:
                container.wait_for("ready")
                seen = self.wait_for_functions(wanted, server)
                self.assertEqual(container.stop(), status)
                stdout, stderr = container.output()
                self.assertEqual((stdout, BUSY.sub("", stderr)), output)
            self.assertEqual(server.errors(), [])
            self.assertEqual({profile["labels"]["service_name"] for profile in server.profiles()}, {"shop"})
            return seen

    def check_all(self, image, wanted=None, output=("ready\nbye\n", ""), status=7):
        for name, flags in RIGHTS.items():
            with self.subTest(rights=name):
                seen = self.check(image, flags, wanted or WANTED, output, status)
                if wanted is None:
                    self.assertGreater(seen["tokenize"], seen["checksum"])


class Short(Case):
    """The one that ./dev test runs."""

    def test_static_program_in_an_empty_image(self):
        self.check(container_images.native("static"), [], WANTED, ("ready\nbye\n", ""), 7)


class Images(Case):
    def test_python_bookworm(self):
        self.check_all(container_images.python("bookworm"))

    def test_python_bullseye(self):
        self.check_all(container_images.python("bullseye"))

    def test_python_trixie(self):
        self.check_all(container_images.python("trixie"))

    def test_python_distroless(self):
        self.check_all(container_images.distroless_python())

    def test_native_static(self):
        self.check_all(container_images.native("static"))

    def test_musl_static(self):
        self.check_all(container_images.native("musl_static"))

    def test_musl_dynamic(self):
        self.check_all(container_images.native("musl_dynamic"))

    def test_dotnet_self_contained(self):
        # It has no handler of its own for SIGTERM: as without the agent, the runtime ends with 143.
        self.check_all(container_images.dotnet_self_contained(), {"Truth.Square.Draw": 5, "Truth.Circle.Draw": 5},
                       ("ready\n", ""), 143)
