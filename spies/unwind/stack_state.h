// SPDX-License-Identifier: Apache-2.0
// What is known of a function's frame before one of its instructions, and what each does to it.
#pragma once

#include <cstdint>

#include "spies/unwind/instruction.h"
#include "spies/unwind/unwind_rule.h"

namespace agent::unwind {

/// Distances are in bytes below the canonical frame address.
struct StackState {
  static constexpr std::int32_t kUnknown = -1;
  static constexpr std::int32_t kAtEntry = 8;  ///< Only the return address.

  std::int32_t sp = kAtEntry;  ///< kUnknown: not known.
  std::int32_t fp = kUnknown;  ///< kUnknown: it holds something else.
  Saved caller_fp;             ///< kSame, kAtCfa or kUndefined.
  Saved caller_extra;          ///< likewise
  bool is_root = false;        ///< The frame pointer was cleared: nobody calls this.

  friend bool operator==(const StackState&, const StackState&) = default;

  [[nodiscard]] bool IsKnown() const { return sp != kUnknown || fp != kUnknown || is_root; }
  /// Its CfaKind is kNone where nothing is known.
  [[nodiscard]] UnwindRule Rule() const;
  /// What holds whichever of two ways was taken.
  [[nodiscard]] StackState MergedWith(const StackState& other) const;
  /// After an instruction. Calls give back what they were given.
  void Apply(const Instruction& instruction);

 private:
  Saved* SavedOf(std::uint8_t number);
  void SetSp(std::int64_t distance);
  void Push(std::uint8_t number);
  void Pop(std::uint8_t number);
  void Overwrite(std::uint8_t number);
};

}  // namespace agent::unwind
