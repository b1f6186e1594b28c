// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/code_pieces.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>

namespace agent::unwind {

const CodePiece* CodePieces::Find(std::uint64_t address) const {
  const auto contains = [&](const CodePiece& piece) {
    return address - piece.start < piece.code.size();
  };
  if (last_ < pieces_.size() && contains(pieces_[last_])) return &pieces_[last_];
  const auto after = std::ranges::upper_bound(pieces_, address, {}, &CodePiece::start);
  if (after == pieces_.begin() || !contains(*std::prev(after))) return nullptr;
  last_ = static_cast<std::size_t>(std::prev(after) - pieces_.begin());
  return &pieces_[last_];
}

bool CodePieces::GoesOnAfterCall(std::uint64_t next) const {
  constexpr std::uint64_t kAlignment = 16;
  const auto instruction = InstructionAt(next);
  if (!instruction) return false;
  const InstructionKind kind = instruction->kind;
  if (kind == InstructionKind::kPadding || kind == InstructionKind::kMarker ||
      kind == InstructionKind::kStop) {
    return false;
  }
  const bool makes_frame = kind == InstructionKind::kPush ||
                           (kind == InstructionKind::kMoveSp && instruction->value < 0);
  return !makes_frame || next % kAlignment != 0;
}

std::span<const std::byte> CodePieces::CodeAt(std::uint64_t address) const {
  const CodePiece* piece = Find(address);
  return piece == nullptr ? std::span<const std::byte>()
                          : std::span(piece->code).subspan(address - piece->start);
}

std::optional<Instruction> CodePieces::InstructionAt(std::uint64_t address) const {
  const std::span<const std::byte> code = CodeAt(address);
  return code.empty() ? std::nullopt : Decode(code, address);
}

const StackState* CodePieces::StateAt(std::uint64_t address) const {
  const CodePiece* piece = Find(address);
  if (piece == nullptr) return nullptr;
  const std::uint16_t index = piece->state_of[address - piece->start];
  return index == 0 ? nullptr : &states_[index];
}

bool CodePieces::Set(std::uint64_t address, const StackState& state) {
  if (Find(address) == nullptr) return false;
  const std::uint16_t index = IndexOf(state);
  if (index == 0) return false;
  CodePiece& piece = pieces_[last_];
  piece.state_of[address - piece.start] = index;
  return true;
}

void CodePieces::Forget() {
  for (CodePiece& piece : pieces_) std::ranges::fill(piece.state_of, std::uint16_t{0});
}

// 0 where there are too many.
std::uint16_t CodePieces::IndexOf(const StackState& state) {
  const std::size_t hash = std::hash<UnwindRule>{}(state.Rule());
  std::vector<std::uint16_t>& same_hash = by_hash_[hash >> 56];
  const auto found =
      std::ranges::find_if(same_hash, [&](std::uint16_t index) { return states_[index] == state; });
  if (found != same_hash.end()) return *found;
  if (states_.size() > std::numeric_limits<std::uint16_t>::max()) return 0;
  states_.push_back(state);
  same_hash.push_back(static_cast<std::uint16_t>(states_.size() - 1));
  return same_hash.back();
}

}  // namespace agent::unwind
