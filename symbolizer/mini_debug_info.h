// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "agent/elf/elf_file.h"

namespace agent {

/// An .xz stream decompressed; nothing when it is damaged or would be longer than `max_size`.
[[nodiscard]] std::optional<std::vector<std::byte>> DecompressXz(std::span<const std::byte> bytes,
                                                                 std::size_t max_size);

/// The ELF file in .gnu_debugdata ("MiniDebugInfo": the symbols of a stripped file's functions, as
/// Fedora ships them); null when there is none or it cannot be read.
[[nodiscard]] std::shared_ptr<const ElfFile> ReadMiniDebugInfo(const ElfFile& file);

}  // namespace agent
