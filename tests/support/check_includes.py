# SPDX-License-Identifier: Apache-2.0
"""Checks the direction between the folders by reading every #include line.

usage: check_includes.py ROOT        prints what is wrong; status 1 if anything is
       check_includes.py --self-test  shows that each rule finds its fault
"""

import collections
import pathlib
import re
import sys
import tempfile

# folder → the folders that it may include, besides itself. A folder below spies/ that is not named here is a runtime.
BASE = {"agent/base"}
PROFILE = BASE | {"agent/profile"}
TARGET = PROFILE | {"agent/elf", "agent/process"}
MAY_INCLUDE = {
    "agent/base": set(),
    "agent/elf": BASE,
    "agent/process": BASE,
    "agent/profile": BASE,
    "agent/format": PROFILE,
    "agent/report": PROFILE | {"agent/format"},
    "uploader": PROFILE | {"agent/format"},
    "symbolizer": TARGET,
    "spies": TARGET,
    "spies/unwind": TARGET | {"spies"},
    "agent/sampling": TARGET | {"spies", "spies/unwind", "symbolizer"},
}
RUNTIME = TARGET | {"spies", "spies/unwind"}
ANYTHING = ("agent/cli", "tests")

# Headers that appear in at most so many .cpp files of the agent and in no header, tests' headers included.
CONFINED = {
    "sys/ptrace.h": r"(sys|linux)/ptrace\.h",
    "libunwind": r"libunwind.*\.h|unwind\.h",
    "libdw": r"(elfutils/)?(libdw|libdwfl|libdwelf)\.h|dwarf\.h",
    "httplib": r"httplib\.h",
    "CLI11": r"CLI/.*",
}
MOST_FILES = collections.defaultdict(lambda: 2, httplib=4)  # client, its two uses, server

TOPS = ("agent", "spies", "symbolizer", "uploader", "tests")
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def folder_of(path):
    """The folder of section "Folders" in ARCHITECTURE.md that a path relative to the root lies in, or None."""
    parts = pathlib.PurePosixPath(path).parts
    if len(parts) < 2 or parts[0] not in TOPS:
        return None
    if parts[0] in ("symbolizer", "uploader", "tests"):
        return parts[0]
    if len(parts) == 2:
        return "spies" if parts[0] == "spies" else None
    return "/".join(parts[:2])


def allowed(folder):
    if folder in MAY_INCLUDE:
        return MAY_INCLUDE[folder] | {folder}
    if folder.startswith("spies/"):
        return RUNTIME | {folder}
    return None


def check(root):
    faults = []
    users = collections.defaultdict(list)
    sources = [p for top in TOPS for ext in ("h", "cpp") for p in (root / top).rglob(f"*.{ext}")]
    for path in sorted(sources):
        name = path.relative_to(root).as_posix()
        folder = folder_of(name)
        if folder is None:
            faults.append(f"{name}: lies in no folder of the design")
            continue
        for ours, system in INCLUDE.findall(path.read_text(encoding="utf-8")):
            for what, pattern in CONFINED.items():
                if not re.fullmatch(pattern, ours or system):
                    continue
                if path.suffix == ".h":
                    faults.append(f"{name}: includes {ours or system}; {what} belongs into no header")
                elif folder != "tests":
                    users[what].append(name)
            if not ours:
                continue
            if not (root / ours).is_file():
                faults.append(f'{name}: "{ours}" is not a file of ours, named from the root')
            elif folder not in ANYTHING:
                target = folder_of(ours)
                may = allowed(folder)
                if may is None:
                    faults.append(f"{name}: {folder} is not in the design; add it here and there")
                elif target not in may:
                    faults.append(f'{name}: {folder} may not include "{ours}"')
    for what, names in users.items():
        if len(set(names)) > MOST_FILES[what]:
            faults.append(f"{what} appears in {len(set(names))} files, at most {MOST_FILES[what]}: {', '.join(sorted(set(names)))}")
    return len(sources), faults


def self_test():
    good = {
        "agent/base/error.h": "#include <string>",
        "agent/process/tracer.cpp": '#include <sys/ptrace.h>\n#include "agent/base/error.h"',
        "spies/spy.h": '#include "agent/base/error.h"',
        "spies/python/spy.cpp": '#include "spies/spy.h"\n#include "agent/base/error.h"',
        "agent/cli/main.cpp": '#include <CLI/CLI.hpp>\n#include "spies/spy.h"',
        "tests/unit/spy_test.cpp": '#include "spies/spy.h"\n#include <httplib.h>',
    }
    bad = {
        "against the direction": ({"agent/base/log.cpp": '#include "agent/process/x.h"', "agent/process/x.h": ""}, "may not"),
        "from runtime to runtime": ({"spies/dotnet/a.cpp": '#include "spies/python/x.h"', "spies/python/x.h": ""}, "may not"),
        "from the agent to tests": ({"uploader/a.cpp": '#include "tests/support/x.h"', "tests/support/x.h": ""}, "may not"),
        "a runtime in sampling": ({"agent/sampling/a.h": '#include "spies/python/x.h"', "spies/python/x.h": ""}, "may not"),
        "a folder unknown": ({"agent/misc/a.h": '#include "agent/base/error.h"'}, "not in the design"),
        "a name relative to its file": ({"agent/base/log.cpp": '#include "error.h"'}, "from the root"),
        "ptrace in a header": ({"agent/process/a.h": "#  include <sys/ptrace.h>"}, "no header"),
        "httplib in a tests' header": ({"tests/support/a.h": '#include "httplib.h"'}, "no header"),
        "ptrace in three files": ({f"agent/process/{x}.cpp": "#include <sys/ptrace.h>" for x in "ab"}, "3 files"),
    }
    for name, (files, expected) in {"nothing": ({}, None), **bad}.items():
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for path, text in {**good, **files}.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text + "\n", encoding="utf-8")
            _, faults = check(root)
        if expected is None and faults or expected is not None and not any(expected in fault for fault in faults):
            sys.exit(f"self-test: {name} wrong: found {faults}")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    count, faults = check(pathlib.Path(sys.argv[1]))
    if count == 0:
        faults.append("no source file found")
    print("\n".join(faults) if faults else f"{count} files in order")
    sys.exit(1 if faults else 0)


main()
