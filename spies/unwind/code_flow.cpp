// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/code_flow.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "spies/unwind/block_trace.h"
#include "spies/unwind/machine_code.h"

namespace agent::unwind {
namespace {

using Kind = InstructionKind;

// In looking whether a function returns: what is beyond is taken to.
constexpr std::size_t kMaxInstructions = 2'000;
constexpr std::size_t kMaxCallDepth = 6;
// Of all ways together, so that hostile bytes cost no more than a few seconds.
constexpr std::size_t kMaxLookedAhead = 16'000'000;

bool IsWayOut(Kind kind) {
  return kind == Kind::kReturn || kind == Kind::kTailCall || kind == Kind::kJumpIndirect;
}

bool IsCall(Kind kind) { return kind == Kind::kCall || kind == Kind::kCallIndirect; }

bool EndsBlock(Kind kind) { return kind == Kind::kJump || kind == Kind::kStop || IsWayOut(kind); }

}  // namespace

CodeFlow::CodeFlow(CodePieces pieces, std::uint64_t entry)
    : pieces_(std::move(pieces)), entry_(entry), left_(kMaxLookedAhead) {
  Enter(entry);
}

void CodeFlow::Enter(std::uint64_t address) {
  if (!pieces_.Contains(address) || !functions_.insert(address).second) return;
  const StackState* const known = pieces_.StateAt(address);
  const StackState at_start{.caller_fp = {}, .caller_extra = {}, .is_root = address == entry_};
  was_wrong_ = was_wrong_ || (known != nullptr && *known != at_start);
  if (IsSignalReturn(pieces_.CodeAt(address))) return;
  if (pieces_.Set(address, at_start)) to_follow_.push_back(address);
}

// Whether there is anything new in it.
bool CodeFlow::Reach(std::uint64_t address, const StackState& state) {
  if (functions_.contains(address) || !pieces_.Contains(address)) return false;
  const StackState* const known = pieces_.StateAt(address);
  if (known == nullptr) {
    return !IsSignalReturn(pieces_.CodeAt(address)) && pieces_.Set(address, state);
  }
  const StackState merged = known->MergedWith(state);
  return merged != *known && pieces_.Set(address, merged);
}

void CodeFlow::Run() {
  constexpr int kMostRuns = 4;
  for (int run = 0; run < kMostRuns; ++run) {
    was_wrong_ = false;
    Follow();
    FillIn();
    if (!was_wrong_) return;
    pieces_.Forget();
    for (const std::uint64_t function : std::exchange(functions_, {})) Enter(function);
  }
  Follow();
}

void CodeFlow::Follow() {
  while (!to_follow_.empty()) {
    const std::uint64_t address = to_follow_.back();
    to_follow_.pop_back();
    FollowFrom(address);
  }
}

void CodeFlow::FollowFrom(std::uint64_t address) {
  while (const auto instruction = pieces_.InstructionAt(address)) {
    const StackState* const known = pieces_.StateAt(address);
    if (known == nullptr) return;
    StackState state = *known;
    state.Apply(*instruction);
    const Kind kind = instruction->kind;
    if (kind == Kind::kAddress) addresses_.insert(instruction->target);
    if (kind == Kind::kCall) {
      Enter(instruction->target);
      if (!MayReturn(instruction->target, 0)) return;
    }
    if (IsCall(kind) && !pieces_.GoesOnAfterCall(address + instruction->length)) return;
    if ((kind == Kind::kJump || kind == Kind::kJumpIf) && Reach(instruction->target, state)) {
      to_follow_.push_back(instruction->target);
    }
    if (EndsBlock(kind)) return;
    address += instruction->length;
    if (!Reach(address, state)) return;
  }
}

bool CodeFlow::MayReturn(std::uint64_t function, std::size_t depth) {
  if (depth > kMaxCallDepth || !pieces_.Contains(function)) return true;
  const auto [place, is_new] = may_return_.try_emplace(function, true);
  if (!is_new) return place->second;
  std::vector<std::uint64_t> blocks{function};
  std::unordered_set<std::uint64_t> seen;
  while (!blocks.empty()) {
    std::uint64_t address = blocks.back();
    blocks.pop_back();
    while (seen.insert(address).second) {
      const auto instruction = pieces_.InstructionAt(address);
      if (!instruction || seen.size() > kMaxInstructions || left_ == 0) return true;
      --left_;
      const Kind kind = instruction->kind;
      if (IsWayOut(kind)) return true;
      if (kind == Kind::kJump || kind == Kind::kJumpIf) blocks.push_back(instruction->target);
      if (EndsBlock(kind)) break;
      if (kind == Kind::kCall && !MayReturn(instruction->target, depth + 1)) break;
      address += instruction->length;
      if (IsCall(kind) && !pieces_.GoesOnAfterCall(address)) break;
    }
  }
  may_return_[function] = false;
  return false;
}

std::uint64_t CodeFlow::EndOfBlock(std::uint64_t address) const {
  while (pieces_.StateAt(address) == nullptr) {
    const auto instruction = pieces_.InstructionAt(address);
    if (!instruction) return address + 1;
    address += instruction->length;
    if (EndsBlock(instruction->kind)) return address;
  }
  return address;
}

void CodeFlow::FillIn() {
  const BlockTrace::Returns returns = [this](std::uint64_t function) {
    return MayReturn(function, 0);
  };
  // What one block has shown helps others before it.
  constexpr int kRounds = 2;
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < pieces_.pieces().size(); ++i) {
      const CodePiece& piece = pieces_.pieces()[i];
      const std::uint64_t end = piece.start + piece.code.size();
      for (std::uint64_t address = piece.start; address < end;) {
        const auto instruction = pieces_.InstructionAt(address);
        const bool is_padding =
            !instruction || instruction->kind == Kind::kPadding || instruction->kind == Kind::kStop;
        if (pieces_.StateAt(address) != nullptr || is_padding) {
          address += instruction ? instruction->length : 1;
          continue;
        }
        const bool is_signal_return = IsSignalReturn(pieces_.CodeAt(address));
        const std::optional<StackState> state =
            is_signal_return ? std::nullopt
                             : BlockTrace(pieces_, functions_, returns, left_).From(address);
        if (state && pieces_.Set(address, *state)) {
          to_follow_.push_back(address);
        } else if (round > 0 && !is_signal_return && addresses_.contains(address)) {
          Enter(address);  // a function that never returns and is called through a pointer
        }
        Follow();
        if (pieces_.StateAt(address) == nullptr) address = EndOfBlock(address);
      }
    }
  }
}

std::vector<UnwindRow> CodeFlow::Rows() const {
  std::vector<UnwindRow> rows;
  for (const CodePiece& piece : pieces_.pieces()) {
    const std::uint64_t end = piece.start + piece.code.size();
    const StackState* last = nullptr;
    for (std::uint64_t address = piece.start; address < end;) {
      const StackState* state = pieces_.StateAt(address);
      const auto instruction = state == nullptr ? std::nullopt : pieces_.InstructionAt(address);
      if (!instruction) state = nullptr;
      if (state != last || address == piece.start) {
        rows.push_back({.start = address, .rule = state == nullptr ? UnwindRule{} : state->Rule()});
      }
      last = state;
      address += instruction ? instruction->length : 1;
    }
    rows.push_back({.start = end, .rule = {}});
  }
  return rows;
}

}  // namespace agent::unwind
