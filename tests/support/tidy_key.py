# SPDX-License-Identifier: Apache-2.0
"""What clang-tidy's verdict on a file depends on, as a hash: its text behind the preprocessor, with comments, the checks, and
clang-tidy itself.

usage: tidy_key.py BUILD FILE    (from the top of the tree)
"""

import hashlib
import json
import pathlib
import shlex
import subprocess
import sys

build, file = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
entries = json.loads((build / "compile_commands.json").read_text())
entry = next(e for e in entries if pathlib.Path(e["directory"], e["file"]).resolve() == file)
command = shlex.split(entry["command"])
place = command.index("-o")
text = subprocess.run([*command[:place], *command[place + 2:], "-E", "-C", "-P"], cwd=entry["directory"], check=True,
                      capture_output=True).stdout
version = subprocess.run(["clang-tidy-19", "--version"], check=True, capture_output=True).stdout
key = hashlib.sha256()
for part in (pathlib.Path(".clang-tidy").read_bytes(), version, str(file.relative_to(pathlib.Path.cwd())).encode(), text):
    key.update(hashlib.sha256(part).digest())
print(key.hexdigest())
