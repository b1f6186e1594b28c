// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/block_trace.h"

#include <vector>

#include "agent/process/registers.h"

namespace agent::unwind {
namespace {

using Kind = InstructionKind;
using Numbers = RegisterNumbers;

constexpr std::int64_t kWord = sizeof(std::uint64_t);
constexpr std::int64_t kMaxFrame = 1 << 20;
constexpr std::size_t kMaxInstructions = 1'000;

}  // namespace

std::optional<StackState> BlockTrace::From(std::uint64_t address) {
  std::vector<Way> ways{Way{.address = address, .fp = {}, .caller_fp = {}, .caller_extra = {}}};
  while (!ways.empty()) {
    Way way = ways.back();
    ways.pop_back();
    if (auto state = Take(way, ways)) return state;
  }
  return std::nullopt;
}

// To a return or to known code; `others` gets the ways that branch off.
std::optional<StackState> BlockTrace::Take(Way way, std::vector<Way>& others) {
  bool has_jumped = true;
  while (left_ > 0 && seen_.size() < kMaxInstructions) {
    const bool is_function = functions_.contains(way.address);
    // Behind a call that does not return after all.
    if (is_function && !has_jumped) return std::nullopt;
    if (const StackState* known = pieces_.StateAt(way.address)) return AtKnown(way, *known);
    if (!seen_.insert(way.address).second) return std::nullopt;
    --left_;
    const auto instruction = pieces_.InstructionAt(way.address);
    if (!instruction) return std::nullopt;
    if (!Apply(*instruction, way)) return std::nullopt;
    has_jumped = false;
    switch (instruction->kind) {
      case Kind::kReturn:
      case Kind::kTailCall:
        return AtKnown(way, StackState{});
      case Kind::kJumpIndirect:
      case Kind::kStop:
        return std::nullopt;
      case Kind::kCall:
      case Kind::kCallIndirect:
        if (instruction->kind == Kind::kCall && !returns_(instruction->target)) return std::nullopt;
        if (!pieces_.GoesOnAfterCall(way.address + instruction->length)) return std::nullopt;
        break;
      case Kind::kJumpIf:
        others.push_back(way);
        others.back().address = instruction->target;
        break;
      case Kind::kJump:
        way.address = instruction->target;
        has_jumped = true;
        continue;
      case Kind::kOther:
      case Kind::kAddress:
      case Kind::kPadding:
      case Kind::kMarker:
      case Kind::kPush:
      case Kind::kPop:
      case Kind::kMoveSp:
      case Kind::kSpFromFp:
      case Kind::kFpFromSp:
      case Kind::kLeave:
      case Kind::kClearFp:
      case Kind::kStore:
      case Kind::kLoad:
        break;
    }
    way.address += instruction->length;
  }
  return std::nullopt;
}

BlockTrace::Kept* BlockTrace::KeptOf(std::uint8_t number, Way& way) {
  if (number == Numbers::kFp) return &way.caller_fp;
  return number == Numbers::kExtra ? &way.caller_extra : nullptr;
}

void BlockTrace::Pop(std::int64_t slot, Kept& kept) {
  if (kept.pushed == slot) {
    kept = {};
    return;
  }
  if (!kept.popped) kept.popped = slot;
  kept.changed = true;
}

// False where the stack pointer is lost.
bool BlockTrace::Apply(const Instruction& instruction, Way& way) {
  Kept* const kept = KeptOf(instruction.number, way);
  const auto sp_from_fp = [&](std::int64_t offset) {
    if (way.fp) {
      way.sp = *way.fp + offset;
      return true;
    }
    if (way.is_from_fp || way.caller_fp.changed || way.caller_extra.popped ||
        way.caller_extra.pushed || way.caller_fp.pushed) {
      return false;
    }
    way.is_from_fp = true;
    way.sp = offset;
    return true;
  };
  const auto pop_fp = [&] {
    Pop(way.sp, way.caller_fp);
    way.fp.reset();
    way.sp += kWord;
  };
  switch (instruction.kind) {
    case Kind::kPush:
      way.sp -= kWord;
      if (kept != nullptr && !kept->changed && !kept->pushed) kept->pushed = way.sp;
      break;
    case Kind::kPop:
      if (instruction.number == Numbers::kFp) {
        pop_fp();
        break;
      }
      if (kept != nullptr) Pop(way.sp, *kept);
      way.sp += kWord;
      break;
    case Kind::kMoveSp:
      way.sp += instruction.value;
      break;
    case Kind::kFpFromSp:
      way.fp = way.sp + instruction.value;
      way.caller_fp.changed = true;
      break;
    case Kind::kSpFromFp:
      if (!sp_from_fp(instruction.value)) return false;
      break;
    case Kind::kLeave:
      if (!sp_from_fp(0)) return false;
      pop_fp();
      break;
    case Kind::kClearFp:
      return false;
    case Kind::kLoad:
      if (kept != nullptr) kept->changed = true;
      if (instruction.number == Numbers::kFp) way.fp.reset();
      break;
    case Kind::kTailCall:
    case Kind::kOther:
    case Kind::kAddress:
    case Kind::kPadding:
    case Kind::kMarker:
    case Kind::kCall:
    case Kind::kCallIndirect:
    case Kind::kJump:
    case Kind::kJumpIf:
    case Kind::kJumpIndirect:
    case Kind::kReturn:
    case Kind::kStop:
    case Kind::kStore:
      break;
  }
  if ((instruction.writes >> Numbers::kSp & 1) != 0) return false;
  if ((instruction.writes >> Numbers::kExtra & 1) != 0) way.caller_extra.changed = true;
  if ((instruction.writes >> Numbers::kFp & 1) != 0) {
    way.caller_fp.changed = true;
    way.fp.reset();
  }
  return way.sp >= -kMaxFrame && way.sp <= kMaxFrame;
}

// `there`: where it is at the end of the way.
Saved BlockTrace::SavedAtStart(const Kept& kept, std::int64_t cfa, const Saved& there) {
  if (kept.popped) {
    const std::int64_t offset = *kept.popped - cfa;
    if (offset > -2 * kWord) return {.kind = SavedKind::kUndefined};
    return {.kind = SavedKind::kAtCfa, .offset = static_cast<std::int32_t>(offset)};
  }
  if (kept.pushed) {
    const bool is_it = there.kind == SavedKind::kAtCfa && there.offset == *kept.pushed - cfa;
    return is_it ? Saved{} : Saved{.kind = SavedKind::kUndefined};
  }
  // Changed before it was saved on this way: it had been saved elsewhere.
  if (kept.changed && there.kind != SavedKind::kAtCfa) return {.kind = SavedKind::kUndefined};
  return there;
}

std::optional<StackState> BlockTrace::AtKnown(const Way& way, const StackState& there) {
  if (!there.IsKnown() || there.is_root) return std::nullopt;
  if (there.sp == StackState::kUnknown) {
    // Found by a frame pointer that has been the same all along.
    if (way.is_from_fp || way.caller_fp.changed) return std::nullopt;
    return there;
  }
  const std::int64_t cfa = way.sp + there.sp;
  if (cfa < StackState::kAtEntry || cfa > kMaxFrame) return std::nullopt;
  StackState start;
  start.sp = way.is_from_fp ? StackState::kUnknown : static_cast<std::int32_t>(cfa);
  start.fp = StackState::kUnknown;
  if (way.is_from_fp) {
    start.fp = static_cast<std::int32_t>(cfa);
  } else if (!way.caller_fp.changed && !way.caller_fp.popped) {
    start.fp = there.fp;
  }
  start.caller_fp = SavedAtStart(way.caller_fp, cfa, there.caller_fp);
  start.caller_extra = SavedAtStart(way.caller_extra, cfa, there.caller_extra);
  return start;
}

}  // namespace agent::unwind
