# SPDX-License-Identifier: Apache-2.0
"""Records tests/offline/python anew, for the interpreters named, of this machine and of the roots of ./dev test-roots.

usage: record_python.py BUILD FOLDER NAME...    (NAME: 3.7, 3.13t, ...; root, for the roots)
"""

import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("AGENT_BUILD", sys.argv[1])
import agent_runs  # noqa: E402


def state_of(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def record(interpreter, form, path):
    """One process, killed when it was written down."""
    program = subprocess.Popen(interpreter.command("standing.py", form), stdout=subprocess.PIPE, text=True)
    try:
        while state_of(program.pid) != "T":
            if program.poll() is not None:
                raise RuntimeError(f"{interpreter} ended, status {program.returncode}")
            time.sleep(0.01)
        stacks = os.read(program.stdout.fileno(), 1 << 20)
        done = subprocess.run([f"{sys.argv[1]}/bin/record_python", str(program.pid), path], input=stacks)
        print(f"{interpreter} {form}: {os.path.getsize(path)} bytes, status {done.returncode}")
        return done.returncode
    finally:
        program.kill()
        program.wait()


def main():
    failed = 0
    for name in sys.argv[3:]:
        interpreter = agent_runs.need_interpreters(name)[0]
        for form in ("main", "subinterpreter")[:2 if interpreter.minor() >= 12 else 1]:
            suffix = "" if form == "main" else f"_{form}"
            failed |= record(interpreter, form, f"{sys.argv[2]}/python{name.replace('.', '')}{suffix}.gz")
    return failed


sys.exit(main())
