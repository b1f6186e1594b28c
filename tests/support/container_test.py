# SPDX-License-Identifier: Apache-2.0
"""What the tests in tests/containers have in common."""

import re
import unittest

import podman
import receiver

EVERY_SECOND = "PYROSCOPE_UPLOAD_INTERVAL=1s"

AS_USER = ["--user", "1000:1000", "--cap-drop=ALL", "--read-only", "--read-only-tmpfs=false"]
# Pod Security Standards, "restricted": the runtime's own seccomp filter is podman's default.
RESTRICTED = ["--user", "65534:65534", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
SMALL = ["--cpus", "0.2", "-m", "128m"]


# What the agent has to say where it does not get the CPU that it needs, as below a limit.
BUSY = re.compile(r"agent: \d+ (samples? (was|were) lost, \d+ (was|were) kept|ticks? (was|were) left out): .*\n")


class ContainerTest(unittest.TestCase):
    """Nothing may be left of a test: no container, no mount, no image without a name."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        podman.need()

    def setUp(self):
        self.server = receiver.Receiver()
        self.addCleanup(self.server.stop)
        self.addCleanup(self._check_nothing_is_left)

    def _check_nothing_is_left(self):
        self.assertEqual(podman.podman("ps", "-aq").stdout.split(), [], "containers are left")
        self.assertEqual(podman.podman("images", "-qf", "dangling=true").stdout.split(), [], "images are left")
        with open("/proc/self/mounts") as mounts:
            self.assertEqual([line for line in mounts if f"{podman.PLACE}/storage/overlay/" in line], [], "mounts are left")

    def environment(self, *more, server=None):
        """Flags of podman."""
        variables = [f"PYROSCOPE_SERVER_ADDRESS={(server or self.server).address}", EVERY_SECOND, *more]
        return [word for variable in variables for word in ("-e", variable)]

    def wait_for_functions(self, wanted, server=None):
        """Until the receiver has each function of `wanted` ({name: samples at least}); {name: samples}."""
        def enough(requests):
            seen = samples_by_function(requests)
            return all(seen.get(name, 0) >= least for name, least in wanted.items()) and seen

        server = server or self.server
        try:
            return server.wait_for(enough, wanted, podman.DEADLINE)
        except AssertionError as late:
            seen = samples_by_function(server.requests())
            raise AssertionError(f"{late}; got {sorted(seen.items(), key=lambda e: -e[1])[:20]}, {server.errors()}") from None


def samples_by_function(requests):
    """{name: samples}, what a function called included; parameters of C++ left out."""
    seen = {}
    for request in requests:
        for profile in request.get("profiles", []):
            for name, values in profile["functions"].items():
                plain = name.partition("(")[0]
                seen[plain] = seen.get(plain, 0) + values["samples"]
    return seen
