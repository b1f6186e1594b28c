// SPDX-License-Identifier: Apache-2.0
// What the way from a block of code to a return says of the stack at its beginning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_set>
#include <vector>

#include "spies/unwind/code_pieces.h"

namespace agent::unwind {

/// A function has the same stack pointer at its return as at its entry: what is popped on the way
/// was pushed before. The same holds for a way into code that is known.
class BlockTrace {
 public:
  using Returns = std::function<bool(std::uint64_t function)>;

  /// All outlive it. `returns` says whether a function may return; `left` is how many instructions
  /// may still be looked at.
  BlockTrace(const CodePieces& pieces, const std::unordered_set<std::uint64_t>& functions,
             const Returns& returns, std::size_t& left)
      : pieces_(pieces), functions_(functions), returns_(returns), left_(left) {}

  /// Nothing where no way tells.
  std::optional<StackState> From(std::uint64_t address);

 private:
  // A register that callers want back.
  struct Kept {
    bool changed = false;                // since the block's beginning, and not given back
    std::optional<std::int64_t> pushed;  // where to, on this way
    std::optional<std::int64_t> popped;  // where it was given back from, pushed before
  };
  // A way so far. Distances are from the stack pointer at the beginning or, once the stack pointer
  // was taken from it, from the frame pointer then.
  struct Way {
    std::uint64_t address = 0;
    std::int64_t sp = 0;
    bool is_from_fp = false;
    std::optional<std::int64_t> fp;  // set from the stack pointer on this way
    Kept caller_fp;
    Kept caller_extra;
  };

  std::optional<StackState> Take(Way way, std::vector<Way>& others);
  static bool Apply(const Instruction& instruction, Way& way);
  static void Pop(std::int64_t slot, Kept& kept);
  static Kept* KeptOf(std::uint8_t number, Way& way);
  static std::optional<StackState> AtKnown(const Way& way, const StackState& there);
  static Saved SavedAtStart(const Kept& kept, std::int64_t cfa, const Saved& there);

  const CodePieces& pieces_;
  const std::unordered_set<std::uint64_t>& functions_;
  const Returns& returns_;
  std::size_t& left_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace agent::unwind
