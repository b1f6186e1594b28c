// SPDX-License-Identifier: Apache-2.0
// Where control goes in code that no table describes, and what the stack looks like there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "spies/unwind/code_pieces.h"
#include "spies/unwind/unwind_table.h"

namespace agent::unwind {

class CodeFlow {
 public:
  /// `entry`: where the kernel or the dynamic linker begins; nothing calls it.
  CodeFlow(CodePieces pieces, std::uint64_t entry);

  /// A function begins here.
  void Enter(std::uint64_t address);
  /// Finds out what can be known.
  void Run();
  [[nodiscard]] std::vector<UnwindRow> Rows() const;

 private:
  // From all functions so far, along jumps, and into those that they call.
  void Follow();
  // What has not been reached then: blocks that only a table of jumps, or nothing at all, leads to.
  void FillIn();
  void FollowFrom(std::uint64_t address);
  bool Reach(std::uint64_t address, const StackState& state);
  bool MayReturn(std::uint64_t function, std::size_t depth);
  [[nodiscard]] std::uint64_t EndOfBlock(std::uint64_t address) const;

  CodePieces pieces_;
  std::uint64_t entry_;
  std::size_t left_;  // instructions that may still be looked at ahead
  std::vector<std::uint64_t> to_follow_;
  std::unordered_set<std::uint64_t> functions_;
  std::unordered_set<std::uint64_t> addresses_;  // that the code takes: functions', or data's
  std::unordered_map<std::uint64_t, bool> may_return_;
  // A function begins where something else was taken to run on into it (a call before it does not
  // return): what came of that is wrong.
  bool was_wrong_ = false;
};

}  // namespace agent::unwind
