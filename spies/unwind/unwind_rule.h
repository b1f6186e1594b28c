// SPDX-License-Identifier: Apache-2.0
// How to get from a frame to its caller, at one instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace agent::unwind {

/// How the canonical frame address (the caller's stack pointer) is found.
enum class CfaKind : std::uint8_t {
  kNone,      ///< Nothing is known about this address.
  kRegister,  ///< cfa_register + cfa_offset
  kDeref,     ///< The word at cfa_register + cfa_offset, plus cfa_addend (stack realignment).
  kPlt,       ///< A lazily bound PLT entry: one word more from its instruction cfa_offset on.
  kSignal,    ///< A signal frame: all registers lie in the ucontext at the stack pointer.
  kSwitched,  ///< The stack pointer of ThreadSnapshot::switched_from, plus cfa_offset.
  kResumed,   ///< The caller is what ThreadSnapshot::switched_from says, as a whole.
  kComplex,   ///< Another expression: not for tables.
};

/// Where a register of the caller is.
enum class SavedKind : std::uint8_t {
  kSame,       ///< Still in the register.
  kAtCfa,      ///< In memory at CFA + offset.
  kAtFp,       ///< In memory at the frame pointer + offset.
  kRegister,   ///< In the register whose number is the offset.
  kUndefined,  ///< Lost. For the return address: there is no caller, this is the thread's root.
};

struct Saved {
  SavedKind kind = SavedKind::kSame;
  std::int32_t offset = 0;
  friend bool operator==(const Saved&, const Saved&) = default;
};

/// For the registers that callers' rules need (RegisterNumbers): frame pointer, the extra one, and
/// the return address.
struct UnwindRule {
  CfaKind cfa = CfaKind::kNone;
  std::uint8_t cfa_register = 0;
  std::int32_t cfa_offset = 0;
  std::int32_t cfa_addend = 0;
  Saved fp;
  Saved extra;
  Saved return_address;
  /// The return address is an instruction that was interrupted, or that nothing calls: it is looked
  /// up itself, not the one before it.
  bool caller_is_exact = false;
  friend bool operator==(const UnwindRule&, const UnwindRule&) = default;
};

}  // namespace agent::unwind

template <>
struct std::hash<agent::unwind::UnwindRule> {
  std::size_t operator()(const agent::unwind::UnwindRule& rule) const noexcept {
    const auto word = [](std::uint64_t high, std::int32_t low) {
      return high << 32 | static_cast<std::uint32_t>(low);
    };
    std::uint64_t mixed = 0;
    for (const std::uint64_t part :
         {word(static_cast<std::uint64_t>(rule.cfa) << 8 | rule.cfa_register, rule.cfa_offset),
          word(static_cast<std::uint64_t>(rule.fp.kind) ^
                   static_cast<std::uint64_t>(rule.cfa_addend),
               rule.fp.offset),
          word(static_cast<std::uint64_t>(rule.extra.kind), rule.extra.offset),
          word(static_cast<std::uint64_t>(rule.return_address.kind), rule.return_address.offset)}) {
      mixed = (mixed ^ part) * 0x9e3779b97f4a7c15;
      mixed ^= mixed >> 29;
    }
    return mixed;
  }
};
