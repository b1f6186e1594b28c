// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/unwind_table.h"

#include <algorithm>

#include "spies/unwind/code_scan.h"
#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(unwind_table) {
  const auto elf = ElfFile::OpenBytes(fuzz::ShareBytes(input));
  if (!elf) return;
  const auto table = unwind::UnwindTable::Compile(*elf);
  if (!table) return;
  constexpr std::size_t kMostRows = 1000;
  for (std::size_t i = 0; i < std::min(table->rows(), kMostRows); ++i) {
    (void)table->Find(table->RowStart(i));
  }
  (void)unwind::ScanCode(*elf, *table).Find(ElfAddress{0});
  (void)table->Find(ElfAddress{0});
  (void)table->Find(ElfAddress{~std::uint64_t{0}});
}
