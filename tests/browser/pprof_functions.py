# SPDX-License-Identifier: Apache-2.0
"""Prints what each function costs by a pprof file, as JSON: {type: {"sum": n, "functions": {name: [self, total]}}}."""

import collections
import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import pprof  # noqa: E402


def main():
    profile = pprof.Profile(pathlib.Path(sys.argv[1]).read_bytes())
    result = {}
    for sample in profile.samples:
        names = [frame[0] for frame in sample["stack"]]
        for kind, value in sample["values"].items():
            sums = result.setdefault(kind, {"sum": 0, "functions": collections.defaultdict(lambda: [0, 0])})
            sums["sum"] += value
            if not names:
                continue
            sums["functions"][names[0]][0] += value
            for name in set(names):
                sums["functions"][name][1] += value
    json.dump(result, sys.stdout)


main()
