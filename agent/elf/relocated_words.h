// SPDX-License-Identifier: Apache-2.0
// Pointers in an ELF file's data.
#pragma once

#include <elf.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "agent/base/types.h"
#include "agent/elf/elf_file.h"

namespace agent {

/// The relocations (DT_RELA) of a position-independent file that write an address of its own, in
/// the file's order; none where they take more than `most_bytes`.
[[nodiscard]] std::vector<Elf64_Rela> RelativeRelocations(const ElfFile& file,
                                                          std::uint64_t most_bytes);

/// Words of a file's data as the dynamic linker leaves them in a process, with the file's own
/// addresses: relative relocations (DT_RELA) have them elsewhere. Those of DT_RELR are in place.
class RelocatedWords {
 public:
  /// `file` outlives it.
  explicit RelocatedWords(const ElfFile& file);

  /// The `count` words at `address`; empty where the file has not that many.
  [[nodiscard]] std::vector<std::uint64_t> Read(ElfAddress address, std::size_t count) const;

 private:
  const ElfFile& file_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> addends_;  // by address, sorted
};

}  // namespace agent
