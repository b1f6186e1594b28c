// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/go_names.h"

#include <utility>

namespace agent {

std::unique_ptr<GoNames> GoNames::Open(const ElfFile& elf) {
  Result<std::optional<GoPclntab>> table = GoPclntab::Find(elf);
  if (!table || !*table) return nullptr;
  return std::unique_ptr<GoNames>(new GoNames(**std::move(table)));
}

void GoNames::Find(ElfAddress address, std::vector<NamedLevel>& chain) {
  const auto function = table_.FindFunction(address);
  // C code of a cgo program has at most an entry here: DWARF and symbols say more.
  if (!function || !table_.StackDelta(*function, address)) return;
  levels_.clear();
  table_.Names(*function, address, levels_);
  for (const GoPclntab::Level& level : levels_) {
    NamedLevel& named = chain.emplace_back();
    named.name = level.name;
    named.file = level.file;
    named.start_line = level.start_line;
    named.line = level.line;
  }
}

}  // namespace agent
