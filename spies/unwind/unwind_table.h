// SPDX-License-Identifier: Apache-2.0
// The unwind rules of one ELF file: .eh_frame and .debug_frame compiled into sorted rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/elf/elf_file.h"
#include "spies/unwind/unwind_rule.h"

namespace agent::unwind {

/// `rule` holds from `start` to the next row.
struct UnwindRow {
  std::uint64_t start = 0;
  UnwindRule rule;
};

/// Immutable; may be read by several threads at once. 6 bytes a row.
class UnwindTable {
 public:
  /// Compiles what the file has; an empty table when it has nothing. kLimit when it is too large,
  /// kMalformed never: entries that make no sense are left out and counted.
  static Result<UnwindTable> Compile(const ElfFile& elf);

  /// Of rows made otherwise, sorted, all within 4 GiB.
  static UnwindTable FromRows(std::span<const UnwindRow> rows);

  /// The rule at an instruction; kNone where the file says nothing.
  [[nodiscard]] const UnwindRule& Find(ElfAddress address) const;

  [[nodiscard]] std::size_t rows() const { return starts_.size(); }
  [[nodiscard]] std::size_t rules() const { return rules_.size(); }
  [[nodiscard]] std::size_t malformed() const { return malformed_; }
  [[nodiscard]] std::size_t bytes() const {
    return starts_.size() * (sizeof(std::uint32_t) + sizeof(std::uint16_t)) +
           rules_.size() * sizeof(UnwindRule);
  }
  /// First address of row `i`.
  [[nodiscard]] ElfAddress RowStart(std::size_t i) const { return ElfAddress{base_ + starts_[i]}; }
  [[nodiscard]] const UnwindRule& RowRule(std::size_t i) const { return rules_[rule_of_[i]]; }

 private:
  friend class TableBuilder;

  std::uint64_t base_ = 0;
  std::vector<std::uint32_t> starts_;  // relative to base_, sorted
  std::vector<std::uint16_t> rule_of_;
  std::vector<UnwindRule> rules_{UnwindRule{}};  // the first one is kNone
  std::size_t malformed_ = 0;
};

}  // namespace agent::unwind
