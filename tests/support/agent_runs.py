# SPDX-License-Identifier: Apache-2.0
"""Running the agent of this build on real interpreters, for the tests in tests/e2e."""

import glob
import json
import math
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import pprof

PROGRAMS = pathlib.Path(__file__).resolve().parents[1] / "programs"
AGENT = os.environ.get("AGENT_BINARY", "build/release/bin/agent")
BUILD = pathlib.Path(os.environ.get("AGENT_BUILD", "build/release"))
SUPPORTED = ("3.11", "3.12", "3.13")


def _version_of(path):
    try:
        run = subprocess.run([path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True)
    except OSError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def find_interpreters():
    """{version: path} of the supported CPythons in PATH and in pyenv's folder."""
    found = {}
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    folders = [f for f in os.environ.get("PATH", "").split(":") if f and "/shims" not in f]
    for version in SUPPORTED:
        candidates = [os.path.join(folder, "python" + version) for folder in folders]
        candidates += sorted(glob.glob(f"{root}/versions/{version}.*/bin/python{version}"))
        for path in candidates:
            if os.access(path, os.X_OK) and _version_of(path) == version:
                found[version] = path
                break
    return found


def interpreter(version):
    """Its path; skips the test, with the reason, where there is none."""
    path = find_interpreters().get(version)
    if path is None:
        raise unittest.SkipTest(f"no CPython {version} in PATH or pyenv's versions folder")
    return path


def any_interpreter():
    for version, path in find_interpreters().items():
        return path
    raise unittest.SkipTest(f"no CPython of {', '.join(SUPPORTED)} in PATH or pyenv's versions folder")


CACHE = pathlib.Path(os.environ.get("AGENT_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "agent-dev")

# A mount namespace and a root of its own for the target; the agent stays outside.
IN_ROOT = ('mount --make-rprivate / && mount --bind "$1" "$2/mnt" && mount -t proc proc "$2/proc" && root=$2 && shift 2 && '
           'exec chroot "$root" "$@"')


class Interpreter:
    """A CPython of the machine, or of a root that `./dev test-roots` made."""

    def __init__(self, name, path, root=None):
        self.name, self.path, self.root = name, path, root

    def minor(self):
        """11 of "3.11" and "3.11d"."""
        return int(self.name.rstrip("dt").split(".")[1])

    def __str__(self):
        return f"{self.root}: {self.path}" if self.root else self.path

    def command(self, program, *arguments):
        """Runs a program of tests/programs."""
        if self.root is None:
            return [self.path, str(PROGRAMS / program), *arguments]
        return self.in_root(self.path, f"/mnt/{program}", *arguments)

    def in_root(self, *command):
        """Runs any command in its root, where tests/programs is /mnt."""
        return ["unshare", "-m", "sh", "-c", IN_ROOT, "sh", str(PROGRAMS), str(self.root), *command]


def find_all_interpreters(name):
    """All of one kind: "3.7" on the machine and in roots, "3.14d" (debug), "3.14t" (free-threaded)."""
    found = []
    release = name.rstrip("dt")
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    folders = [f for f in os.environ.get("PATH", "").split(":") if f and "/shims" not in f]
    candidates = [os.path.join(folder, "python" + name) for folder in folders]
    candidates += sorted(glob.glob(f"{pyenv}/versions/{release}.*/bin/python{name}"))
    if name.endswith("t"):  # calls itself by the plain name as well
        candidates += sorted(glob.glob(f"{CACHE}/roots/built-*/bin/python{name}"))
    real = set()
    for path in candidates:
        if os.access(path, os.X_OK) and os.path.realpath(path) not in real and _version_of(path) == release:
            real.add(os.path.realpath(path))
            found.append(Interpreter(name, path))
    for root in sorted(CACHE.glob("roots/python-*")):
        if (root / "complete").exists() and (root / f"usr/bin/python{name}").exists():
            found.append(Interpreter(name, f"/usr/bin/python{name}", root))
    return found


def need_interpreters(name):
    """As find_all_interpreters, those that we may use: at least one, else the test is skipped."""
    found = [i for i in find_all_interpreters(name) if i.root is None or os.geteuid() == 0]
    if not found:
        raise unittest.SkipTest(f"no CPython {name} in PATH, in pyenv's versions folder, or in a root (./dev test-roots)")
    return found


class Run:
    """One finished `agent exec`."""

    def __init__(self, command, flags=(), **options):
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            path = os.path.join(folder, "run.pb.gz")
            done = subprocess.run(
                [AGENT, "exec", "-o", path, *flags, *command], capture_output=True, text=True, timeout=110, **options
            )
            self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
            self.profile = pprof.read(path) if os.path.exists(path) else None

    def truth(self):
        return json.loads(self.stdout.splitlines()[-1])

    def is_too_busy(self, rate):
        """Whether the machine left so many ticks out that shares tell nothing: they were not taken at random times."""
        late, ticks = self.late_ticks(), self.profile.duration_nanos * rate // 10**9
        if late > ticks / 4:
            print(f"  shares are not compared: the machine left out {late} of {ticks} ticks")
        return late > ticks / 4

    def late_ticks(self):
        return late_ticks(self.profile)


def late_ticks(profile):
    for comment in profile.comments:
        if found := re.search(r"ticks left out (\d+)", comment):
            return int(found[1])
    return 0


def binomial_bound(share, samples, errors=4):
    return errors * math.sqrt(share * (1 - share) / samples)
