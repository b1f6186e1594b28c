# SPDX-License-Identifier: Apache-2.0
"""Source lines of .NET methods, from portable PDBs, against what the runtime says of them itself."""

import os
import pathlib
import re
import shutil
import tempfile
import unittest

import dotnet
from test_dotnet_shares import DotnetTest


class LinesTest(DotnetTest):
    METHODS = ("Spin", "Fourth", "Third", "Second", "Run")

    def check(self, command, arguments=("3",)):
        self.run_truth([*command, *arguments])
        true = {tuple(tuple(frame) for frame in stack if frame[0] in self.METHODS[1:]) for stack in self.truth["stacks"]}
        print(f"  {true}")
        for stack in true:
            self.assertEqual([name for name, *_ in stack], list(self.METHODS[1:]))
            self.assertEqual({file for _, file, _ in stack}, {"Lines.cs"}, "the runtime itself does not know the lines")
        hot, right, wrong, all_of_it = {}, 0, {}, 0
        for sample in self.profile.samples:
            frames = [(name.split(".")[-1].split("<")[0], os.path.basename(file), line)
                      for name, file, line in sample["stack"] if name.startswith("Truth.Lines.")]
            if not frames or frames[0][0] != "Spin":
                continue
            cpu = sample["values"]["cpu"]
            all_of_it += cpu
            if tuple(frames[1:]) in true and frames[0][1] == "Lines.cs":
                right += cpu
            else:
                wrong[str(frames)] = wrong.get(str(frames), 0) + cpu
            hot[frames[0][2]] = hot.get(frames[0][2], 0) + cpu
        print(f"  {right / all_of_it:.3%} of the stacks at the right lines")
        self.assertEqual(right, all_of_it, wrong)
        for line, true in self.truth["lines"].items():
            self.check_share(f"line {line}", hot.get(int(line), 0), true)


class Jitted(LinesTest):
    def test_10_framework_dependent(self):
        self.check(dotnet.build("Lines", "framework_dependent", "10"))

    def test_9_self_contained(self):
        self.check(dotnet.build("Lines", "self_contained", "9"))

    def test_8_self_contained(self):
        self.check(dotnet.build("Lines", "self_contained", "8"))

    def test_pdb_of_another_build(self):
        """Is passed over."""
        command = dotnet.build("Lines", "framework_dependent", "10")
        other = dotnet.build("Shares", "framework_dependent", "10")
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            source = pathlib.Path(command[-1]).parent
            shutil.copytree(source, folder, dirs_exist_ok=True)
            shutil.copy(pathlib.Path(other[-1]).with_suffix(".pdb"), f"{folder}/lines.pdb")
            self.run_truth([*command[:-1], f"{folder}/{pathlib.Path(command[-1]).name}", "1"])
        file, = {file for s in self.profile.samples for name, file, _ in s["stack"] if name == "Truth.Lines.Spin"}
        self.assertEqual(file, "lines")


class Embedded(LinesTest):
    """The PDB lies in the assembly, and is read in the process's memory."""

    def build(self):
        command = dotnet.build("Lines", "embedded", "10")
        self.assertEqual(list(pathlib.Path(command[-1]).parent.glob("*.pdb")), [])
        return command

    def test_10(self):
        self.check(self.build())

    def test_10_loaded_from_bytes(self):
        self.check(self.build(), ("3", "bytes"))


class Precompiled(LinesTest):
    """ReadyToRun code. Without tiers nothing is compiled again; the compiler itself says what it compiled."""

    def check_precompiled(self, form, version):
        with tempfile.TemporaryDirectory(prefix="agent-test-") as folder:
            listed = pathlib.Path(folder) / "jitted"
            settings = ["DOTNET_TieredCompilation=0", "DOTNET_JitDisasmSummary=1", f"DOTNET_JitStdOutFile={listed}"]
            self.check(["env", *settings, *dotnet.build("Lines", form, version)])
            jitted = set(re.findall(r"Truth\.Lines:(\w+)", listed.read_text()))
        print(f"  compiled at run time: {jitted}")
        self.assertTrue(jitted.isdisjoint(self.METHODS), jitted)

    def test_10(self):
        self.check_precompiled("ready_to_run", "10")

    def test_9(self):
        self.check_precompiled("ready_to_run", "9")

    def test_8(self):
        self.check_precompiled("ready_to_run", "8")

    def test_10_composite(self):
        self.check_precompiled("composite", "10")

    def test_10_single_file(self):
        self.check_precompiled("single_file_ready_to_run", "10")

    def test_10_compressed_single_file_with_embedded_pdb(self):
        self.check_precompiled("compressed_embedded", "10")


if __name__ == "__main__":
    unittest.main()
