// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "symbolizer/elf_sections.h"
#include "symbolizer/name_source.h"

struct Dwarf_CU;  // libdw's handle

namespace agent {

/// One compilation unit: its functions, and what was inlined into them. Built at the first look-up
/// in it; a function's inlined calls at the first one in that function. libdw decodes.
class DwarfUnit {
 public:
  /// `unit` belongs to libdw and must live longer. `code` too. `may_open_split`: whether libdw may
  /// look for the unit's .dwo file by the names that the unit says.
  DwarfUnit(Dwarf_CU* unit, const CodeRanges& code, bool may_open_split);
  ~DwarfUnit();
  DwarfUnit(DwarfUnit&&) noexcept;
  DwarfUnit& operator=(DwarfUnit&&) noexcept;

  /// As NameSource::Find. False when the unit knows nothing of `address`.
  bool Find(std::uint64_t address, std::vector<NamedLevel>& chain);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace agent
