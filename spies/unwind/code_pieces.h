// SPDX-License-Identifier: Apache-2.0
// The code of a file that no table describes, instruction by instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "spies/unwind/instruction.h"
#include "spies/unwind/stack_state.h"

namespace agent::unwind {

/// Consecutive bytes, and what is known before the instruction that begins at each.
struct CodePiece {
  CodePiece(std::uint64_t from, std::vector<std::byte> bytes)
      : start(from), code(std::move(bytes)), state_of(code.size()) {}

  std::uint64_t start;
  std::vector<std::byte> code;
  std::vector<std::uint16_t> state_of;  ///< Index into the states; 0: not reached.
};

class CodePieces {
 public:
  /// Sorted, not overlapping.
  explicit CodePieces(std::vector<CodePiece> pieces) : pieces_(std::move(pieces)) {}

  [[nodiscard]] const std::vector<CodePiece>& pieces() const { return pieces_; }
  [[nodiscard]] bool Contains(std::uint64_t address) const { return Find(address) != nullptr; }
  /// Nothing outside of the pieces, and for bytes that are no instruction.
  [[nodiscard]] std::optional<Instruction> InstructionAt(std::uint64_t address) const;
  /// Whether what is at `next`, behind a call, is the code that goes on after it. A call that never
  /// returns may be the last of its function: padding comes then, or the next function's first
  /// instructions. False where it looks like that.
  [[nodiscard]] bool GoesOnAfterCall(std::uint64_t next) const;
  /// The bytes from `address` on; empty outside.
  [[nodiscard]] std::span<const std::byte> CodeAt(std::uint64_t address) const;
  /// Null where nothing has been reached. Valid until the next Set.
  [[nodiscard]] const StackState* StateAt(std::uint64_t address) const;
  /// `address` is in a piece. False where there are too many different states.
  bool Set(std::uint64_t address, const StackState& state);
  /// As if nothing had been reached.
  void Forget();

 private:
  [[nodiscard]] const CodePiece* Find(std::uint64_t address) const;
  std::uint16_t IndexOf(const StackState& state);

  std::vector<CodePiece> pieces_;
  mutable std::size_t last_ = 0;  // where the last one was found
  std::vector<StackState> states_{StackState{}};
  std::vector<std::vector<std::uint16_t>> by_hash_ = std::vector<std::vector<std::uint16_t>>(256);
};

}  // namespace agent::unwind
