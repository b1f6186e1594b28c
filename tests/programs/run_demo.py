# SPDX-License-Identifier: Apache-2.0
"""The demo: profiles a program that knows its own true CPU shares, and compares.

usage: run_demo.py AGENT [SECONDS]
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "support"))
import pprof  # noqa: E402


def main():
    agent = sys.argv[1]
    seconds = sys.argv[2] if len(sys.argv) > 2 else "10"
    path = pathlib.Path(tempfile.mkdtemp(prefix="agent-demo-")) / "shares.pb.gz"
    command = [agent, "exec", "-o", str(path), sys.executable, str(HERE / "shares.py"), seconds]
    print("$ agent", " ".join(command[1:]), flush=True)
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode != 0 or not path.exists():
        print(f"demo: the program ended with {run.returncode}, profile written: {path.exists()}")
        return 1
    truth = json.loads(run.stdout.splitlines()[-1])
    profile = pprof.read(path)
    total = profile.total("cpu")
    sampled = profile.inclusive("cpu")
    print(
        f"\n{profile.total('samples')} samples, {total / 1e9:.3f} s of CPU in the profile, "
        f"{truth['process'] / 1e9:.3f} s by the program's own clock at its last line\n"
    )
    print(f"{'function':<24} {'sampled':>9} {'true':>9} {'difference':>11}")
    for name, spent in truth["functions"].items():
        share, true = sampled.get(name, 0) / total, spent / truth["process"]
        print(f"{name:<24} {share:>8.2%} {true:>9.2%} {share - true:>+11.2%}")
    print(f"\nprofile: {path}")
    return 0


sys.exit(main())
