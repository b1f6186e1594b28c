// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/stack_state.h"

#include "agent/process/registers.h"

namespace agent::unwind {
namespace {

using Kind = InstructionKind;
using Numbers = RegisterNumbers;

constexpr std::int32_t kWord = sizeof(std::uint64_t);
constexpr std::int64_t kMaxFrame = 1 << 20;
constexpr std::int32_t kRedZone = 128;

}  // namespace

UnwindRule StackState::Rule() const {
  UnwindRule rule;
  if (is_root) {
    rule.cfa = CfaKind::kRegister;
    rule.cfa_register = Numbers::kSp;
    rule.return_address.kind = SavedKind::kUndefined;
    return rule;
  }
  if (!IsKnown()) return rule;
  rule.cfa = CfaKind::kRegister;
  // What is pushed may be taken off by who is called (V8's builtins): the frame pointer stays.
  rule.cfa_register = fp != kUnknown ? Numbers::kFp : Numbers::kSp;
  rule.cfa_offset = fp != kUnknown ? fp : sp;
  rule.fp = caller_fp;
  rule.extra = caller_extra;
  rule.return_address = {.kind = SavedKind::kAtCfa, .offset = -kWord};
  return rule;
}

StackState StackState::MergedWith(const StackState& other) const {
  constexpr Saved kLost = {.kind = SavedKind::kUndefined};
  return {.sp = sp == other.sp ? sp : kUnknown,
          .fp = fp == other.fp ? fp : kUnknown,
          .caller_fp = caller_fp == other.caller_fp ? caller_fp : kLost,
          .caller_extra = caller_extra == other.caller_extra ? caller_extra : kLost,
          .is_root = is_root && other.is_root};
}

Saved* StackState::SavedOf(std::uint8_t number) {
  if (number == Numbers::kFp) return &caller_fp;
  return number == Numbers::kExtra ? &caller_extra : nullptr;
}

// Above the return address is not this function's.
void StackState::SetSp(std::int64_t distance) {
  sp = distance >= kAtEntry && distance <= kMaxFrame ? static_cast<std::int32_t>(distance)
                                                     : kUnknown;
  if (sp == kUnknown) return;
  // What lies below the stack pointer may be overwritten.
  for (Saved* const saved : {&caller_fp, &caller_extra}) {
    if (saved->kind == SavedKind::kAtCfa && -saved->offset > sp + kRedZone) {
      *saved = {.kind = SavedKind::kUndefined};
    }
  }
}

void StackState::Push(std::uint8_t number) {
  if (sp == kUnknown) return;
  SetSp(std::int64_t{sp} + kWord);
  Saved* const saved = SavedOf(number);
  if (saved != nullptr && saved->kind == SavedKind::kSame && sp != kUnknown) {
    *saved = {.kind = SavedKind::kAtCfa, .offset = -sp};
  }
}

void StackState::Pop(std::uint8_t number) {
  const Saved here = {.kind = SavedKind::kAtCfa, .offset = -sp};
  if (Saved* const saved = SavedOf(number)) {
    const bool is_restored = sp != kUnknown && *saved == here;
    Overwrite(number);
    if (is_restored) *saved = {};
  }
  if (number == Numbers::kSp) {
    sp = kUnknown;
  } else if (sp != kUnknown) {
    SetSp(std::int64_t{sp} - kWord);
  }
}

// The register holds something else now.
void StackState::Overwrite(std::uint8_t number) {
  Saved* const saved = SavedOf(number);
  if (saved != nullptr && saved->kind == SavedKind::kSame) saved->kind = SavedKind::kUndefined;
  if (number == Numbers::kFp) fp = kUnknown;
  if (number == Numbers::kSp) sp = kUnknown;
}

void StackState::Apply(const Instruction& instruction) {
  const std::uint8_t number = instruction.number;
  switch (instruction.kind) {
    case Kind::kPush:
      Push(number);
      break;
    case Kind::kPop:
      Pop(number);
      break;
    case Kind::kMoveSp:
      if (sp != kUnknown) SetSp(std::int64_t{sp} - instruction.value);
      break;
    case Kind::kSpFromFp:
      if (fp == kUnknown) {
        sp = kUnknown;
      } else {
        SetSp(std::int64_t{fp} - instruction.value);
      }
      break;
    case Kind::kFpFromSp:
      Overwrite(Numbers::kFp);
      if (sp != kUnknown && instruction.value >= 0 && instruction.value < sp) {
        fp = sp - instruction.value;
      }
      break;
    case Kind::kLeave:
      sp = fp;
      Pop(Numbers::kFp);
      break;
    case Kind::kClearFp:
      if (caller_fp.kind == SavedKind::kSame && fp == kUnknown) is_root = true;
      Overwrite(Numbers::kFp);
      break;
    case Kind::kStore:
    case Kind::kLoad: {
      const std::int32_t base = instruction.base == Numbers::kSp ? sp : fp;
      const std::int64_t offset = std::int64_t{instruction.value} - base;
      const bool is_in_frame =
          base != kUnknown && offset <= -2 * std::int64_t{kWord} && offset >= -kMaxFrame;
      const Saved place = {.kind = SavedKind::kAtCfa, .offset = static_cast<std::int32_t>(offset)};
      Saved* const saved = SavedOf(number);
      if (instruction.kind == Kind::kLoad) {
        const bool is_restored = saved != nullptr && is_in_frame && *saved == place;
        Overwrite(number);
        if (is_restored) *saved = {};
      } else if (saved != nullptr && saved->kind == SavedKind::kSame && is_in_frame) {
        *saved = place;
      }
      break;
    }
    case Kind::kOther:
    case Kind::kTailCall:
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
      break;
  }
  for (const std::uint8_t written : {Numbers::kSp, Numbers::kFp, Numbers::kExtra}) {
    if ((instruction.writes >> written & 1) != 0) Overwrite(written);
  }
}

}  // namespace agent::unwind
