// SPDX-License-Identifier: Apache-2.0
// Call frame information: the entries of .eh_frame and .debug_frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace agent::unwind {

/// A common information entry.
struct Cie {
  std::uint64_t code_alignment = 1;
  std::int64_t data_alignment = 1;
  std::uint64_t return_column = 0;
  std::uint8_t pointer_encoding = 0;
  bool has_augmentation_data = false;
  bool is_signal_frame = false;
  std::span<const std::byte> instructions;
};

/// A frame description entry: the rules for [start, start + size).
struct Fde {
  std::uint64_t start = 0;
  std::uint64_t size = 0;
  std::uint32_t cie = 0;     ///< Index into CfiEntries::cies.
  std::uint32_t offset = 0;  ///< Of the entry, in the section.
  std::span<const std::byte> instructions;
};

/// Views into the section's bytes.
struct CfiEntries {
  std::vector<Cie> cies;
  std::vector<Fde> fdes;  ///< In the section's order.
  std::size_t malformed = 0;
};

enum class CfiFormat : std::uint8_t { kEhFrame, kDebugFrame };

/// `address` is where the section is loaded (pointers may be relative to it). Entries that make no
/// sense are left out and counted.
[[nodiscard]] CfiEntries ReadCfiEntries(std::span<const std::byte> section, std::uint64_t address,
                                        CfiFormat format);

}  // namespace agent::unwind
