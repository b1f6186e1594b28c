# SPDX-License-Identifier: Apache-2.0
"""Runs one file of this folder with Node: run.py FILE.js [ARGUMENT...]. Exits with 77 where a part of what it needs cannot be had.

`./dev test` installs them: Node.js, npm, Chromium, and the packages of package-lock.json, which lie outside the tree.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
OLDEST_NODE = 18


def skip(reason):
    print(f"SKIP: {reason}")
    sys.exit(77)


def packages():
    """Where ./dev puts them: another lock file is another folder."""
    cache = os.environ.get("AGENT_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "agent-dev"
    )
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    return pathlib.Path(cache) / f"browser-{lock}"


def main():
    folder = packages()
    if sys.argv[1:] == ["--packages"]:
        print(folder)
        return
    node = shutil.which("node")
    if node is None:
        skip("no Node.js")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        skip(f"Node.js {version} is older than {OLDEST_NODE}")
    chromium = os.environ.get("AGENT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        skip("no chromium")
    if not (folder / "node_modules").is_dir():
        skip(f"no npm packages in {folder}; ./dev test fetches them")
    environment = {**os.environ, "AGENT_BROWSER_PACKAGES": str(folder), "AGENT_CHROMIUM": chromium}
    if sys.argv[1] == "types":
        compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
        command = [node, str(compiler), "-p", str(HERE.parents[1] / "agent" / "report" / "page")]
    else:
        command = [node, str(HERE / sys.argv[1]), *sys.argv[2:]]
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


main()
