// SPDX-License-Identifier: Apache-2.0
#include "agent/elf/go_pclntab.h"

#include <algorithm>

#include "tests/fuzz/target.h"

using namespace agent;

namespace {

void Ask(const GoPclntab& table, ElfAddress pc) {
  const auto function = table.FindFunction(pc);
  if (!function) return;
  (void)table.StackDelta(*function, pc);
  (void)table.Name(*function);
  std::vector<GoPclntab::Level> levels;
  (void)table.Names(*function, pc, levels);
}

void AskAll(const GoPclntab& table) {
  constexpr std::size_t kMostFunctions = 64;
  for (std::size_t i = 0; i < std::min(table.function_count(), kMostFunctions); ++i) {
    const auto function = table.FunctionAt(i);
    if (!function) continue;
    Ask(table, function->start);
    Ask(table, ElfAddress{static_cast<std::uint64_t>(function->start) + 5});
    Ask(table, ElfAddress{static_cast<std::uint64_t>(function->end) - 1});
  }
  Ask(table, ElfAddress{0});
  Ask(table, ElfAddress{~std::uint64_t{0}});
}

}  // namespace

// The bytes are a table or, if they are an ELF file, a program that may have one.
AGENT_FUZZ_TARGET(go_pclntab) {
  if (const auto table = GoPclntab::Parse({input.begin(), input.end()}, ElfAddress{0x1000})) {
    AskAll(*table);
  }
  const auto elf = ElfFile::OpenBytes(fuzz::ShareBytes(input));
  if (!elf) return;
  const auto found = GoPclntab::Find(*elf);
  if (found && *found) AskAll(**found);
}
