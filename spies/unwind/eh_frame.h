// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/elf/elf_file.h"

namespace agent::unwind {

struct LoadedEhFrame {
  std::uint64_t address = 0;
  std::vector<std::byte> bytes;  ///< Up to the entry that ends it; empty when there is none.
};

/// .eh_frame of a file without a section table (from memory, or stripped of it): where
/// .eh_frame_hdr says, else (static programs have none) by the form of its first entry.
[[nodiscard]] LoadedEhFrame FindLoadedEhFrame(const ElfFile& elf);

}  // namespace agent::unwind
