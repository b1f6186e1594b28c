// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/go_rules.h"

#include "agent/process/registers.h"

namespace agent::unwind {
namespace {

constexpr std::int32_t kWord = sizeof(std::uint64_t);

// The return address below the CFA, and below that the caller's frame pointer where it is kept.
UnwindRule FrameRule(CfaKind cfa, std::uint8_t cfa_register, std::int32_t cfa_offset,
                     bool keeps_fp) {
  return {.cfa = cfa,
          .cfa_register = cfa_register,
          .cfa_offset = cfa_offset,
          .fp = keeps_fp ? Saved{.kind = SavedKind::kAtCfa, .offset = -2 * kWord} : Saved{},
          .extra = {},
          .return_address = {.kind = SavedKind::kAtCfa, .offset = -kWord}};
}

}  // namespace

std::optional<UnwindRule> GoRule(const GoPclntab& go, ElfAddress address) {
  const auto function = go.FindFunction(address);
  if (!function) return std::nullopt;
  const std::optional<std::int32_t> delta = go.StackDelta(*function, address);
  if (!delta) return std::nullopt;
  const bool keeps_fp = *delta >= kWord;
  UnwindRule rule = FrameRule(CfaKind::kRegister, RegisterNumbers::kSp, *delta + kWord, keeps_fp);
  switch (function->kind) {
    case GoFunctionKind::kOrdinary:
      return rule;
    case GoFunctionKind::kInjectedCall:
    case GoFunctionKind::kSignalHandler:
    case GoFunctionKind::kCgoCallback:  // to systemstack_switch's first instruction, as Go has it
      rule.caller_is_exact = true;
      return rule;
    case GoFunctionKind::kSystemStack:
    case GoFunctionKind::kCgoCall:
      return FrameRule(CfaKind::kSwitched, 0, *delta + kWord, keeps_fp);
    case GoFunctionKind::kSwitchesStack:
      // One without a frame has not left the stack that it was called on (clone).
      if (!keeps_fp) return std::nullopt;
      return FrameRule(CfaKind::kRegister, RegisterNumbers::kFp, 2 * kWord, keeps_fp);
    case GoFunctionKind::kSignalReturn:
      return FrameRule(CfaKind::kSignal, 0, 0, keeps_fp);
    case GoFunctionKind::kMoreStack:
      return FrameRule(CfaKind::kResumed, 0, 0, keeps_fp);
    case GoFunctionKind::kRoot:
      rule.cfa_offset = kWord;
      rule.return_address = {.kind = SavedKind::kUndefined};
      return rule;
  }
  return std::nullopt;
}

}  // namespace agent::unwind
