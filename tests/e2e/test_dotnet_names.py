# SPDX-License-Identifier: Apache-2.0
"""Names of .NET methods: each one that the agent gives is in the runtime's own records.

The runtime writes a perf map of what it compiles and a jitdump that also has what was compiled ahead of time. Both
know a type's arguments, neither a method's.
"""

import os
import pathlib
import re
import struct
import tempfile
import unittest

import dotnet
from agent_runs import Run

SECONDS = int(os.environ.get("AGENT_SHARE_SECONDS", "5"))
# "instance void [assembly] Namespace.Outer+Inner`1[Argument]::Method(parameters)[Tier]"
RECORD = re.compile(r"(?:^|\s)\[([^\[\]]+)\] (.+?)::([^(]+)\(.*\[(\w+)\]$")

# Precompiled and run, but in no record of 8.0.31, 9.0.20 and 10.0.12: calls from the library into the runtime (QCalls), not all
# of which are recorded. That these names are right shows in their stacks: the method that makes the call is their caller.
NOT_RECORDED = {
    ("System.Private.CoreLib", "System.ModuleHandle.ResolveType"),
    ("System.Private.CoreLib", "System.Diagnostics.Tracing.XplatEventLogger.<IsEventSourceLoggingEnabled>g____PInvoke|5_0"),
}


def parse_record(text):
    """(assembly, "Type.Method", whether it was compiled ahead of time), or nothing for a stub's."""
    if found := RECORD.search(text):
        return found[1], f"{found[2]}.{found[3]}", found[4] == "PreJIT"
    return None


def read_perf_map(path):
    lines = path.read_text(errors="replace").splitlines()
    return [record for line in lines if (record := parse_record(line.split(" ", 2)[2]))]


def read_jitdump(path):
    """Of its records (tools/perf/Documentation/jitdump-specification.txt) those that load code."""
    data = path.read_bytes()
    magic, _, position = struct.unpack_from("<4sII", data)
    if magic != b"DTiJ":
        raise ValueError(f"{path}: {magic}")
    records = []
    while position + 16 <= len(data):
        kind, size = struct.unpack_from("<II", data, position)
        if size < 16 or position + size > len(data):
            break  # the end was cut off
        if kind == 0:  # JIT_CODE_LOAD: four numbers of 64 bits and two of 32 lie before the name
            begin = position + 16 + 8 + 4 * 8
            name = data[begin : data.index(b"\0", begin)].decode(errors="replace")
            if record := parse_record(name):
                records.append(record)
        position += size
    return records


def without_method_arguments(name):
    """Method[Argument,Other`1[Inner]] without what is in the brackets at the end."""
    if not name.endswith("]"):
        return name
    depth = 0
    for at in range(len(name) - 1, -1, -1):
        depth += {"]": 1, "[": -1}.get(name[at], 0)
        if depth == 0:
            return name[:at]
    return name


def is_managed(name, file):
    """Its file is an assembly's name, or a source file; machine code has the path or name of a library or program."""
    if not file or name.startswith("[") or file.startswith("["):
        return False
    return file.endswith(".cs") or not ("/" in file or ".so" in file)


class Names(unittest.TestCase):
    def check(self, form, version, least, **options):
        compared, ahead, generic, wrong = set(), set(), set(), []
        for program in ("Shares", "Chains"):
            command = dotnet.build(program, form, version)
            with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
                profile, records = self.run_recorded([*command, str(SECONDS)], pathlib.Path(folder), options)
            names = {(assembly, name) for assembly, name, _ in records}
            in_any = {name for _, name, _ in records}
            precompiled = {name for _, name, prejit in records if prejit}
            for name, file in {(frame[0], frame[1]) for sample in profile.samples for frame in sample["stack"]}:
                if not is_managed(name, file):
                    continue
                plain = without_method_arguments(name.replace(", ", ","))
                # An emitted method counts to whatever assembly asked for it; a source file does not tell its assembly.
                anywhere = plain.startswith("dynamicClass.") or file.endswith(".cs")
                if (plain in in_any) if anywhere else ((file, plain) in names):
                    compared.add((file, name))
                    ahead |= {plain} & precompiled
                    generic |= {name} if "[" in name else set()
                elif (file, plain) not in NOT_RECORDED:
                    wrong.append(f"{program}: {name} [{file}]")
        print(f"{form}, .NET {version}: {len(compared)} methods compared, {len(ahead)} of them compiled ahead of time, "
              f"{len(generic)} with generic arguments; {len(wrong)} unknown to the runtime")
        for name in sorted(wrong)[:20]:
            print(f"  {name}")
        self.assertFalse(wrong)
        self.assertGreater(len(compared), least)
        self.assertTrue(any("Truth." in name for _, name in compared))

    def run_recorded(self, command, folder, options):
        # Stubs are left out: written by the page, they end the jitdump of .NET 10.
        env = dict(os.environ, DOTNET_PerfMapEnabled="1", DOTNET_PerfMapStubGranularity="4",
                   DOTNET_PerfMapJitDumpPath=str(folder), **options)
        run = Run(command, ["--sample-rate", "1000", "--dotnet-raw-names"], env=env)
        self.assertEqual(run.status, 0, run.stderr)
        self.assertIsNotNone(run.profile, run.stderr)
        maps, dumps = list(folder.glob("perf-*.map")), list(folder.glob("jit-*.dump"))
        self.assertEqual((len(maps), len(dumps)), (1, 1), list(folder.iterdir()))
        return run.profile, read_perf_map(maps[0]) + read_jitdump(dumps[0])

    def check_precompiled(self, form, version, least):
        """Without tiers the library's code stays what was compiled ahead of time."""
        self.check(form, version, least, DOTNET_TieredCompilation="0")

    def test_10_framework_dependent(self):
        self.check("framework_dependent", "10", 100)

    def test_10_precompiled(self):
        self.check_precompiled("framework_dependent", "10", 100)

    def test_9_self_contained(self):
        self.check("self_contained", "9", 100)

    def test_9_precompiled(self):
        self.check_precompiled("self_contained", "9", 100)

    def test_8_self_contained(self):
        self.check("self_contained", "8", 100)

    def test_8_precompiled(self):
        self.check_precompiled("self_contained", "8", 100)

    def test_10_single_file(self):
        self.check("single_file", "10", 100)

    def test_10_compressed(self):
        self.check("compressed", "10", 100)

    def test_10_trimmed(self):
        self.check("trimmed", "10", 100)

    def test_10_ready_to_run(self):
        self.check("ready_to_run", "10", 100)

    def test_10_composite(self):
        self.check("composite", "10", 100)

    def test_10_runtime_async(self):
        self.check("runtime_async", "10", 100)

    def test_10_musl(self):
        self.check("musl", "10", 100)


if __name__ == "__main__":
    unittest.main()
