# SPDX-License-Identifier: Apache-2.0
"""Real containers by podman, whose images and containers lie in a folder of the tests' own below the cache.

There is no registry to fetch from: base images are Debian systems that make_image_roots.sh has made (`./dev
test-containers`), under the names of the public images that they stand for. What is built on them is cached by podman.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import agent_runs

PLACE = agent_runs.CACHE / "podman"
CONFIG = PLACE / "containers.conf"
RUN = "/run/agent-dev-podman"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Debian's limits for podman ask for more than root may have in some sandboxes; crun refuses hybrid cgroups.
SETTINGS = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
"""
# The suite's root, and the public images that it stands for.
BASES = {
    "bookworm": ["debian:12-slim", "python:3.11-slim-bookworm", "mcr.microsoft.com/dotnet/runtime-deps:10.0"],
    "bullseye": ["python:3.9-slim-bullseye"],
    "trixie": ["python:3.13-slim-trixie"],
}
DEADLINE = 60  # seconds until what must happen counts as not happening; a container may have a fifth of a CPU


def _environment():
    PLACE.mkdir(parents=True, exist_ok=True)
    if not CONFIG.exists() or CONFIG.read_text() != SETTINGS:
        CONFIG.write_text(SETTINGS)
    return {**os.environ, "CONTAINERS_CONF": str(CONFIG), "TMPDIR": str(PLACE)}


def podman(*arguments, check=True, **options):
    """The finished command."""
    command = ["podman", "--root", str(PLACE / "storage"), "--runroot", RUN, "--log-level", "error", *map(str, arguments)]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False,
                          **({"stdin": subprocess.DEVNULL} if "input" not in options and "stdin" not in options else {}), **options)
    if check and done.returncode != 0:
        raise AssertionError(f"podman {' '.join(map(str, arguments))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


@contextlib.contextmanager
def _one_at_a_time():
    PLACE.mkdir(parents=True, exist_ok=True)
    with open(PLACE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def need():
    """Skips the test, with the reason, where no container runs; fails where AGENT_CONTAINERS=required asks for them."""
    reason = _why_not()
    if reason is None:
        return
    if os.environ.get("AGENT_CONTAINERS") == "required":
        raise AssertionError(reason)
    raise unittest.SkipTest(reason)


def _why_not():
    if not shutil.which("podman"):
        return "no podman (./dev test-containers installs it)"
    if os.geteuid() != 0:
        return "containers are run as root only"
    try:
        image = agent()
    except AssertionError as refused:
        return f"podman makes no image here: {str(refused).strip()[-300:]}"
    tried = podman("run", "--rm", "--network", "none", image, "--version", check=False)
    return None if tried.returncode == 0 else f"podman runs no container here: {tried.stderr.strip()[-300:]}"


def build(tag, dockerfile, files=(), flags=()):
    """The image's name. `files` are copied into the context: paths, or (path, name there)."""
    with _one_at_a_time(), tempfile.TemporaryDirectory(prefix="context-", dir=PLACE) as context:
        for file in files:
            source, name = file if isinstance(file, tuple) else (file, pathlib.Path(file).name)
            if pathlib.Path(source).is_dir():
                shutil.copytree(source, pathlib.Path(context) / name, symlinks=True)
            else:
                shutil.copy2(source, pathlib.Path(context) / name)
                os.utime(pathlib.Path(context) / name, (0, 0))
        recipe = pathlib.Path(context) / "Dockerfile"
        recipe.write_text(dockerfile)
        name = f"localhost/{tag}"
        podman("build", "--network", "host", "--pull=never", "--layers", "-t", name, *flags, "-f", recipe, context)
        _drop_unnamed()
        return name


def tag(image, name):
    podman("tag", image, name)
    _drop_unnamed()  # the one that had the name before


def _drop_unnamed():
    podman("image", "prune", "-f")


def agent():
    """The image with the agent in it: the one that docker/Dockerfile made (AGENT_IMAGE), or one of this build's binary."""
    if name := os.environ.get("AGENT_IMAGE"):
        return name
    with tempfile.TemporaryDirectory(prefix="strip-", dir=_made(PLACE)) as folder:
        binary = pathlib.Path(folder) / "agent"
        subprocess.run(["strip", "-o", binary, agent_runs.AGENT], check=True)
        return build("agent", "FROM scratch\nCOPY agent /usr/bin/agent\nCOPY agent /usr/bin/pyroscope\n"
                     "ENTRYPOINT [\"/usr/bin/agent\"]\n", [binary])


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def base(suite):
    """Makes a Debian system an image, under the public names that it stands for; skips, with the reason, without one."""
    root = agent_runs.CACHE / "roots" / f"image-{suite}"
    if not (root / "complete").exists():
        raise unittest.SkipTest(f"no {root} (./dev test-containers makes it)")
    names = BASES[suite]
    with _one_at_a_time():
        if podman("image", "exists", names[-1], check=False).returncode != 0:
            tar = subprocess.Popen(["tar", "-C", root, "--one-file-system", "--exclude=./proc", "--exclude=./sys",
                                    "--exclude=./dev", "--exclude=./complete", "-c", "."], stdout=subprocess.PIPE)
            podman("import", "-q", "-c", f"ENV {PATH}", "-", names[0], stdin=tar.stdout)
            tar.stdout.close()
            if tar.wait() != 0:
                raise AssertionError(f"tar of {root}: status {tar.returncode}")
            for name in names[1:]:
                podman("tag", names[0], name)
    return names[0]


class Container:
    """One that runs until the end of the with block; it is removed then, whatever has happened."""

    def __init__(self, image, *command, flags=(), network="host"):
        self.id = podman("create", "--network", network, *flags, image, *command).stdout.strip()
        try:
            podman("start", self.id)
        except BaseException:
            self.remove()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        _remove("rm", "-f", "-t", "0", self.id)

    def inspect(self, what):
        return podman("inspect", "-f", "{{" + what + "}}", self.id).stdout.strip()

    def running(self):
        return self.inspect(".State.Running") == "true"

    def output(self):
        """(stdout, stderr) so far."""
        logs = podman("logs", self.id)
        return logs.stdout, logs.stderr

    def wait_for(self, text, seconds=DEADLINE):
        end = time.monotonic() + seconds
        while text not in self.output()[0]:
            if time.monotonic() > end or not self.running() and text not in self.output()[0]:
                raise AssertionError(f"{text!r} not within {seconds} s; output: {self.output()}")
            time.sleep(0.05)

    def kill(self, signal):
        podman("kill", "-s", signal, self.id)

    def exec(self, *command, flags=(), check=True):
        return podman("exec", *flags, self.id, *command, check=check)

    def wait(self, seconds=DEADLINE):
        """Its exit status, once it has ended by itself."""
        podman("wait", self.id, timeout=seconds)
        return int(self.inspect(".State.ExitCode"))

    def stop(self, grace=5):
        """Its exit status after SIGTERM; 137 where it did not end in its grace period."""
        podman("stop", "-t", grace, self.id)
        return int(self.inspect(".State.ExitCode"))


def remove_pods():
    """All that there are."""
    _remove("pod", "rm", "-f", "-a", "-t", "0")


def _remove(*command):
    # Where podman's own clean-up after a container's end is still under way, it refuses.
    end = time.monotonic() + DEADLINE
    while podman(*command, check=time.monotonic() > end).returncode != 0:
        time.sleep(0.1)


def run(image, *command, flags=(), network="host", seconds=DEADLINE):
    """A container that ends by itself: status, stdout, stderr, as a CompletedProcess."""
    return podman("run", "--rm", "--network", network, *flags, image, *command, check=False, timeout=seconds)


def seccomp(refused=(), absent=(), default_errno=None, path=None):
    """A file with podman's default filter, but `refused` calls (EPERM), and `absent` ones, which get the filter's own
    error for unknown calls (or `default_errno`)."""
    rules = json.loads(pathlib.Path("/usr/share/containers/seccomp.json").read_text())
    for rule in rules["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in (*refused, *absent)]
    rules["syscalls"] = [rule for rule in rules["syscalls"] if rule["names"]]
    if refused:
        rules["syscalls"].append({"names": list(refused), "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": None,
                                  "comment": "", "includes": {}, "excludes": {}})
    if default_errno is not None:
        rules["defaultErrnoRet"] = default_errno
        rules.pop("defaultErrno", None)
    pathlib.Path(path).write_text(json.dumps(rules))
    return f"seccomp={path}"
