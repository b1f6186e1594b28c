# SPDX-License-Identifier: Apache-2.0
"""The symbolizer against binutils' addr2line and LLVM's llvm-symbolizer, at random addresses of programs that are compiled
here. AGENT_ORACLE_FILE names one more file to compare at."""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BENCH = pathlib.Path(os.environ["AGENT_BUILD"]) / "bin" / "bench_symbolize"
ADDRESSES = 2000
SOURCE = """
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <vector>
namespace { int Twice(int x) { return x * 2; } }
int Work(int n) {
  std::map<std::string, std::vector<int>> lists;
  for (int i = 0; i < n; ++i) lists[std::to_string(i)].push_back(Twice(i));
  const std::regex pattern("a+b(c|d)*");
  int count = 0;
  for (auto& [name, list] : lists) {
    std::sort(list.begin(), list.end(), [](int a, int b) { return a > b; });
    if (std::regex_search(name, pattern)) ++count;
  }
  return count;
}
int main(int argc, char**) { std::function<int(int)> work = Work; return work(argc); }
"""

Level = collections.namedtuple("Level", "name file line")


def bare_name(name):
    """The last part of a function's name, without parameters and template arguments: as far as all three write it alike."""
    if "operator" in name or "lambda" in name or name.startswith("_Z"):
        return None
    name = re.sub(r" \(\.[^)]*\)| \[clone [^]]*\]", "", name.replace("(anonymous namespace)", ""))
    depth, text = 0, ""
    for character in name.replace("->", ""):
        depth += (character in "<([") - (character in ">)]")
        if depth == 0 and character not in ">)]":
            text += character
    return re.sub(r"( const| &+)+$", "", text).split("::")[-1].split(" ")[-1]


def same_level(mine, other):
    names = {bare_name(mine.name), bare_name(other.name)} - {None}
    return len(names) <= 1 and base_name(mine.file) == base_name(other.file) and mine.line == other.line


def base_name(file):
    return "" if file in ("", "??") else os.path.basename(file)


def ours(file):
    output = subprocess.run([BENCH, file, "--print", str(ADDRESSES)], capture_output=True, text=True, check=True).stdout
    chains = {}
    for line in output.splitlines():
        address, name, source, number, _ = line.split("\t")
        chains.setdefault(address, []).append(Level(name, source, int(number)))
    return chains


def addr2line(file, addresses):
    output = subprocess.run(["addr2line", "-a", "-i", "-f", "-C", "-e", file], input="\n".join(addresses) + "\n",
                            capture_output=True, text=True, check=True).stdout.splitlines()
    chains, levels, i = {}, None, 0
    while i < len(output):
        if output[i].startswith("0x"):
            levels = chains[hex(int(output[i], 16))] = []
            i += 1
            continue
        source, _, number = output[i + 1].split(" (disc")[0].rpartition(":")
        levels.append(Level(output[i], source, int(number) if number.isdigit() else 0))
        i += 2
    return chains


def llvm_symbolizer(file, addresses):
    output = subprocess.run([LLVM, "--obj=" + file, "--demangle", "--inlines"], input="\n".join(addresses) + "\n",
                            capture_output=True, text=True, check=True).stdout
    chains = {}
    for address, block in zip(addresses, output.split("\n\n")):
        lines = block.splitlines()
        chains[address] = [Level(name, *place.rsplit(":", 2)[:1], int(place.rsplit(":", 2)[1]))
                           for name, place in zip(lines[::2], lines[1::2])]
    return chains


LLVM = next((tool for tool in ("llvm-symbolizer-19", "llvm-symbolizer") if shutil.which(tool)), None)


class Oracle(unittest.TestCase):
    def compile(self, *command):
        if not shutil.which(command[0]):
            self.skipTest(f"no {command[0]}")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        source = pathlib.Path(folder.name) / "program.cpp"
        source.write_text(SOURCE, encoding="utf-8")
        program = str(source.with_suffix(""))
        subprocess.run([*command, str(source), "-o", program], check=True)
        return program

    def compare(self, file, oracle):
        """At least 98 of 100 addresses that the oracle knows must have the same chain of functions, files and lines."""
        mine = ours(file)
        self.assertGreater(len(mine), ADDRESSES // 4)
        theirs = oracle(file, list(mine))
        known, different = 0, []
        for address, chain in mine.items():
            other = theirs[address]
            # A line without a file is from the symbol table; they then name the nearest symbol, far as it may be.
            if not other or other[0].name == "??" or not chain[-1].line and not other[-1].line:
                continue
            known += 1
            same = len(chain) == len(other) and all(map(same_level, chain, other))
            if not same:
                different.append((address, chain, other))
        for address, chain, other in different[:3]:
            print(address, "ours", *chain, "theirs", *other, sep="\n  ")
        print(f"{file}: {known} addresses known, {len(different)} differ")
        self.assertGreater(known, len(mine) // 2)
        self.assertLessEqual(len(different), known // 50)

    def test_gcc_dwarf5_addr2line(self):
        self.compare(self.compile("g++", "-O2", "-g", "-gdwarf-5"), addr2line)

    def test_gcc_dwarf4_compressed_addr2line(self):
        self.compare(self.compile("g++", "-O2", "-g", "-gdwarf-4", "-gz"), addr2line)

    def need_llvm(self):
        if not LLVM:
            self.skipTest("no llvm-symbolizer")

    def test_gcc_llvm_symbolizer(self):
        self.need_llvm()
        self.compare(self.compile("g++", "-O2", "-g"), llvm_symbolizer)

    def test_gcc_type_units_llvm_symbolizer(self):
        self.need_llvm()
        self.compare(self.compile("g++", "-O2", "-g", "-fdebug-types-section"), llvm_symbolizer)

    def test_clang_llvm_symbolizer(self):
        self.need_llvm()
        self.compare(self.compile("clang++-19", "-O2", "-g"), llvm_symbolizer)

    def test_file_of_the_user(self):
        file = os.environ.get("AGENT_ORACLE_FILE")
        if not file:
            self.skipTest("AGENT_ORACLE_FILE is not set")
        self.compare(file, llvm_symbolizer if LLVM else addr2line)
