# SPDX-License-Identifier: Apache-2.0
"""Builds docker/Dockerfile as a user would, from this tree, into the image localhost/agent-of-dockerfile."""

import pathlib

import podman

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    podman.base("bookworm")
    print(podman.podman("build", "--network", "host", "--pull=never", "--layers", "-t", "localhost/agent-of-dockerfile",
                        "-f", ROOT / "docker" / "Dockerfile", ROOT).stdout)
    podman.podman("image", "prune", "-f")


main()
