# SPDX-License-Identifier: Apache-2.0
"""Images of services with the agent before them, one for each kind that users have.

Each has the entry point ["agent", "exec", PROGRAM...]; the programs are those of tests/containers/programs.
"""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

import dotnet
import podman

PROGRAMS = pathlib.Path(__file__).resolve().parents[1] / "containers" / "programs"
COPY_AGENT = "COPY --from={agent} /usr/bin/agent /usr/bin/agent\n"


def python(suite):
    """A Python image of Debian's."""
    return podman.build(f"service-python-{suite}", f"FROM {podman.base(suite)}\n{_agent()}COPY service.py /srv/\n"
                        'ENTRYPOINT ["agent", "exec", "python", "/srv/service.py"]\n', [PROGRAMS / "service.py"])


def distroless_python():
    """libc, an interpreter and its library: no shell, no /tmp, no /etc/passwd."""
    recipe = f"""FROM {podman.base("bookworm")} AS full
RUN mkdir -p /out/usr/bin /out/usr/lib /out/lib64 && cp /usr/bin/python3.11 /out/usr/bin/ && \\
    cp -r /usr/lib/python3.11 /out/usr/lib/ && cp /lib64/ld-linux-x86-64.so.2 /out/lib64/ && \\
    for file in $(ldd /usr/bin/python3.11 | grep -o '/lib/[^ ]*'); do mkdir -p /out$(dirname $file) && cp $file /out$file; done
FROM scratch
COPY --from=full /out/ /
{_agent()}COPY service.py /srv/
ENTRYPOINT ["/usr/bin/agent", "exec", "/usr/bin/python3.11", "/srv/service.py"]
"""
    return podman.build("service-python-distroless", recipe, [PROGRAMS / "service.py"])


def native(name):
    """`static`: a static C++ program in an empty image; `musl_static`, `musl_dynamic`: a C program on musl."""
    with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
        files, libc = [compiled(name, folder)], ""
        if name == "musl_dynamic":
            files.append(("/usr/lib/x86_64-linux-musl/libc.so", "ld-musl-x86_64.so.1"))
            libc = "COPY ld-musl-x86_64.so.1 /lib/\n"
        recipe = f'FROM scratch\n{_agent()}{libc}COPY service /srv/\nENTRYPOINT ["/usr/bin/agent", "exec", "/srv/service"]\n'
        return podman.build(f"service-{name.replace('_', '-')}", recipe, files)


def compiled(name, folder):
    """service.c as a program in that folder."""
    command = {"static": ["g++", "-x", "c++", "-static"], "musl_static": ["musl-gcc", "-static"],
               "musl_dynamic": ["musl-gcc"]}[name]
    if not shutil.which(command[0]):
        raise unittest.SkipTest(f"no {command[0]} (Debian: musl-tools)")
    binary = pathlib.Path(folder) / "service"
    subprocess.run([*command, "-O1", "-o", binary, PROGRAMS / "service.c"], check=True)
    return binary


def dotnet_self_contained():
    """The runtime in the image's application folder, as `dotnet publish --self-contained` makes it."""
    (command,) = dotnet.build("Shares", "self_contained")
    recipe = f"""FROM {podman.base("bookworm")}
ENV DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
{_agent()}COPY app /app
ENTRYPOINT ["agent", "exec", "/app/shares", "120"]
"""
    return podman.build("service-dotnet", recipe, [(pathlib.Path(command).parent, "app")])


def _agent():
    return COPY_AGENT.format(agent=podman.agent())
