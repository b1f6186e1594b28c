// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/elf/elf_file.h"

namespace agent {

/// A section header, as gelf_getshdr has it.
struct SectionHeader {
  std::size_t index = 0;
  std::string name;
  std::uint32_t type = 0;
  std::uint64_t flags = 0;
  std::uint64_t address = 0;
  std::uint64_t size = 0;  ///< In the file.
  std::uint32_t link = 0;
  std::uint64_t entry_size = 0;
  /// What it takes in memory: more than `size` when it is compressed.
  std::uint64_t expanded_size = 0;
};

/// All section headers; empty when the file has none.
[[nodiscard]] std::vector<SectionHeader> ReadSectionHeaders(const ElfFile& file);

/// The first one of this name that has content in the file; null when there is none.
[[nodiscard]] const SectionHeader* FindSectionHeader(const std::vector<SectionHeader>& headers,
                                                     std::string_view name);

/// Where code may be: executable sections or, where there are none, segments.
class CodeRanges {
 public:
  explicit CodeRanges(const ElfFile& file);
  /// Of [low, high) pairs.
  explicit CodeRanges(std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges);
  [[nodiscard]] bool Contains(std::uint64_t address) const { return EndFrom(address).has_value(); }
  /// The end of the range that holds `address`; nothing when none does.
  [[nodiscard]] std::optional<std::uint64_t> EndFrom(std::uint64_t address) const;

 private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;  // sorted, [low, high)
};

}  // namespace agent
