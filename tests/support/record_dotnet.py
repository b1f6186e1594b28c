# SPDX-License-Identifier: Apache-2.0
"""Records tests/offline/dotnet anew, for the runtimes named: each in two forms of tests/programs/dotnet/standing.

usage: record_dotnet.py BUILD FOLDER VERSION...    (VERSION: 8, 9, 10; takes some minutes each)

A recording is kept only if its stacks are what the program and the runtime say of themselves: the program's own methods are
those that its source calls, in that order; their lines are those of the runtime's own stack trace; the stack ends where
the thread begins.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("AGENT_BUILD", sys.argv[1])
import dotnet  # noqa: E402

LEAF = "Truth.Spin.Here"
MARKERS = ("[callers unknown]", "[stack cut]", "[unknown method]")


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    tasks = f"/proc/{pid}/task"
    while any(open(f"{tasks}/{tid}/stat").read().rpartition(")")[2].split()[0] != "T" for tid in os.listdir(tasks)):
        time.sleep(0.01)


def read_stacks(text):
    """{tid: [(name, file, line)]}; machine code has its place as the name."""
    stacks = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "thread":
            frames = stacks[int(rest, 16)] = []
        elif managed := re.fullmatch(r"(.*) ([^ ]*):(\d+)", rest):
            frames.append((managed[1].replace(", ", ","), os.path.basename(managed[2]), int(managed[3])))
        else:
            frames.append((rest, "", 0))
    return stacks


def is_own(name):
    return name.startswith("Truth.") or name == "dynamicClass.Forward"


def why_wrong(said, frames, version, counts):
    """Nothing, where all is right."""
    names = [name for name, _, _ in frames]
    if found := [name for name in names if name in MARKERS]:
        return found[0]
    if not re.match(r"libc\.so\.6\+|standing\+|dotnet\+", names[-1]):
        return "does not reach the thread's start"
    chains = [chain[::-1] for chain in said["Chains"]]
    if chains[0][0] == LEAF:
        if LEAF not in names:
            return f"no {LEAF}"
        frames = frames[names.index(LEAF):]
    own = [frame for frame in frames if is_own(frame[0])]
    if [name for name, _, _ in own] not in chains:
        return "other methods"
    if said["Through"] and not any(name.startswith("libc.so.6+") for name, _, _ in frames[:frames.index(own[-1])]):
        return "not through native code"
    if said["Name"] == "collection" and version != "8" and "[GC]" not in names:
        return "no [GC]"
    lines = [[file, line] for _, file, line in own if file.endswith(".cs")]
    # Of a try statement and its handler the runtime tells one.
    if said["Lines"] and len(lines) == len(said["Lines"]):
        counts["lines"] += len(lines)
        if lines != said["Lines"]:
            return f"lines, which are {said['Lines']}"
    counts["own"] += len(own)
    counts["library"] += sum(file.startswith("System.") for _, file, _ in frames)
    counts["native"] += sum("+0x" in name for name in names)
    return None


def record(version, form, path):
    """Whether it is right. One process, killed when it was written down."""
    built = dotnet.build("Standing", "framework_dependent" if version == "10" else "self_contained", version)
    program = subprocess.Popen([*built, form], stdout=subprocess.PIPE, text=True)
    try:
        threads = json.loads(program.stdout.readline())
        time.sleep(1)  # the last ones go to sleep, or collect
        stop(program.pid)
        with tempfile.NamedTemporaryFile() as file:
            done = subprocess.run([f"{sys.argv[1]}/bin/record_dotnet", str(program.pid), file.name],
                                  input="".join(f"thread {said['Tid']:x}\n" for said in threads), stdout=subprocess.PIPE, text=True)
            if done.returncode != 0:
                return False
            stacks, counts = read_stacks(done.stdout), dict.fromkeys(("own", "lines", "library", "native"), 0)
            wrong = 0
            for said in threads:
                if why := why_wrong(said, stacks[said["Tid"]], version, counts):
                    wrong += 1
                    frames = " < ".join(":".join(map(str, frame)) for frame in stacks[said["Tid"]])
                    print(f"{said['Name']}: {why}\n  {frames}\n  to be {said['Chains']}")
            print(f".NET {version}, {form}: {len(threads)} stacks, {wrong} wrong; of {counts['own']} methods of the program "
                  f"{counts['lines']} were compared by line too; {counts['library']} methods of the library, "
                  f"{counts['native']} native frames")
            if wrong == 0:
                with open(path, "wb") as recording:
                    recording.write(file.read())
            return wrong == 0
    finally:
        program.kill()
        program.wait()


def main():
    right = True
    os.makedirs(sys.argv[2], exist_ok=True)
    for version in sys.argv[3:]:
        for form in ("chains", "collection"):
            right &= record(version, form, f"{sys.argv[2]}/dotnet{version}_{form}.gz")
    return 0 if right else 1


sys.exit(main())
