// SPDX-License-Identifier: Apache-2.0
// What the agent reads from a Go program's function table.
//   go_pclntab_probe FILE names      hex addresses on stdin; for each a line of tab-separated
//   levels
//                                    "name|file|line", innermost first
//   go_pclntab_probe FILE deltas     "start end delta" for each stretch of code with one stack
//   delta go_pclntab_probe FILE functions  "start name" for each function go_pclntab_probe FILE
//   bench      nanoseconds of a look-up
#include <fcntl.h>
#include <fmt/format.h>

#include <chrono>
#include <iostream>
#include <random>
#include <string_view>
#include <vector>

#include "agent/elf/go_pclntab.h"

using agent::ElfAddress;
using agent::GoPclntab;

namespace {

std::uint64_t Number(ElfAddress address) { return static_cast<std::uint64_t>(address); }

void PrintNames(const GoPclntab& table) {
  std::uint64_t pc = 0;
  std::vector<GoPclntab::Level> levels;
  while (std::cin >> std::hex >> pc) {
    levels.clear();
    if (const auto function = table.FindFunction(ElfAddress{pc})) {
      table.Names(*function, ElfAddress{pc}, levels);
    }
    for (const GoPclntab::Level& level : levels) {
      fmt::print("{}|{}|{}\t", level.name, level.file, level.line);
    }
    fmt::print("\n");
  }
}

void PrintFunctions(const GoPclntab& table) {
  for (std::size_t i = 0; i < table.function_count(); ++i) {
    const auto function = table.FunctionAt(i);
    if (function) fmt::print("{:x} {}\n", Number(function->start), table.Name(*function));
  }
}

void PrintDeltas(const GoPclntab& table) {
  for (std::size_t i = 0; i < table.function_count(); ++i) {
    const auto function = table.FunctionAt(i);
    if (!function) continue;
    std::uint64_t start = Number(function->start);
    const std::uint64_t end = Number(function->end);
    for (std::uint64_t pc = start; pc < end; ++pc) {
      const auto delta = table.StackDelta(*function, ElfAddress{pc});
      if (pc + 1 < end && table.StackDelta(*function, ElfAddress{pc + 1}) == delta) continue;
      if (delta) fmt::print("{:x} {:x} {}\n", start, pc + 1, *delta);
      start = pc + 1;
    }
  }
}

void Measure(const GoPclntab& table) {
  const std::uint64_t first = Number(table.FunctionAt(0)->start);
  const std::uint64_t last = Number(table.FunctionAt(table.function_count() - 1)->end);
  std::mt19937_64 random(1);
  std::vector<ElfAddress> pcs(100'000);
  for (ElfAddress& pc : pcs) pc = ElfAddress{first + random() % (last - first)};
  for (const std::size_t different : {pcs.size(), std::size_t{64}}) {
    std::int64_t sum = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < pcs.size(); ++i) {
      const ElfAddress pc = pcs[i % different];
      if (const auto function = table.FindFunction(pc)) {
        sum += table.StackDelta(*function, pc).value_or(0);
      }
    }
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - begin;
    fmt::print("{} different addresses: {:.0f} ns per FindFunction and StackDelta (sum {})\n",
               different, spent.count() / static_cast<double>(pcs.size()), sum);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto elf = agent::ElfFile::Open(agent::UniqueFd(::open(argv[1], O_RDONLY | O_CLOEXEC)));
  if (!elf) {
    fmt::print(stderr, "{}\n", elf.error().Message());
    return 1;
  }
  const auto table = GoPclntab::Find(*elf);
  if (!table || !*table) {
    fmt::print(stderr, "{}\n", table ? "not a Go program" : table.error().Message());
    return 1;
  }
  const std::string_view mode = argv[2];
  if (mode == "names") PrintNames(**table);
  if (mode == "functions") PrintFunctions(**table);
  if (mode == "deltas") PrintDeltas(**table);
  if (mode == "bench") Measure(**table);
  return 0;
}
