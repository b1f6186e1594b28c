# SPDX-License-Identifier: Apache-2.0
"""Go compilers of this machine."""

import os
import pathlib
import shutil
import subprocess
import unittest


def find():
    """All go commands: GO_BINARIES (paths, with colons between), PATH and Debian's folders."""
    paths = os.environ.get("GO_BINARIES", "").split(":") + [shutil.which("go") or ""]
    paths += [str(path) for path in sorted(pathlib.Path("/usr/lib").glob("go-*/bin/go"))]
    found = {}
    for path in paths:
        if path and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path)
    if not found:
        raise unittest.SkipTest("no go in PATH or /usr/lib/go-*/bin")
    return list(found.values())


def build(go, source, program, arguments):
    """The finished compiler: its status, and what it said."""
    env = dict(os.environ, GO111MODULE="off", GOTOOLCHAIN="local", GOFLAGS="", GOPATH=str(program.parent / "path"))
    return subprocess.run([go, "build", "-p", "2", "-o", program, *arguments, source], env=env, capture_output=True, text=True)
