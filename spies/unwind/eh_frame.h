// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agent/elf/elf_file.h"

namespace agent::unwind {

/// .eh_frame by its section or, in a file without a section table (from memory, or stripped of it),
/// where .eh_frame_hdr says, else (static programs have none) by the form of its first entry.
struct EhFrame {
  explicit EhFrame(const ElfFile& elf);  ///< `elf` outlives it.

  std::uint64_t address = 0;
  std::span<const std::byte> bytes;  ///< Up to the entry that ends it; empty when there is none.
  std::vector<std::byte> owned;      ///< What `bytes` are of, when not the file's own.
};

/// One entry of .eh_frame, from its address: what .eh_frame_hdr has for each.
struct FdeReference {
  std::int32_t function = 0;  ///< Where the code begins.
  std::int32_t fde = 0;
};
struct FdeIndex {
  std::uint64_t base = 0;
  std::vector<FdeReference> entries;  ///< Sorted by function.
};
/// For a file that has no .eh_frame_hdr.
[[nodiscard]] FdeIndex MakeFdeIndex(const ElfFile& elf);

}  // namespace agent::unwind
