// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "agent/elf/elf_file.h"

namespace agent {

struct ElfSymbol;

/// The dynamic symbols of a file, found without section headers.
struct DynamicSymbols {
  std::vector<std::byte> names;  ///< What `symbols` point into.
  std::vector<ElfSymbol> symbols;
};

/// Reads the table that PT_DYNAMIC names (DT_SYMTAB, DT_STRTAB; the number of symbols from DT_HASH
/// or DT_GNU_HASH). In an image taken from memory glibc has added the load address to these
/// entries: it is found out by trying. Empty when the file has no such table.
[[nodiscard]] DynamicSymbols ReadDynamicSymbols(const ElfFile& file);

}  // namespace agent
