// SPDX-License-Identifier: Apache-2.0
// What a machine instruction does to the stack, for code that no table describes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace agent::unwind {

/// As many bytes as any instruction has.
constexpr std::size_t kLongestInstruction = 15;

enum class InstructionKind : std::uint8_t {
  kOther,         ///< Only `writes` tells what matters of it.
  kPadding,       ///< Does nothing: between functions, or to align a loop.
  kMarker,        ///< Where jumps and calls through pointers may lead to.
  kCall,          ///< Of `target`.
  kCallIndirect,  ///< Of what is in a register or in memory.
  kJump,          ///< To `target`, always.
  kJumpIf,        ///< To `target`, or on.
  kJumpIndirect,  ///< Through a register, or a word found by one: a switch or a tail call.
  kTailCall,      ///< As a PLT's entry: a jump through a word at a fixed place.
  kReturn,        ///< To the word at the stack pointer.
  kStop,          ///< Nothing goes on behind it.
  kPush,          ///< One word, of `number` where it is a register.
  kPop,           ///< One word, into `number` where it is a register.
  kMoveSp,        ///< The stack pointer grows by `value`.
  kSpFromFp,      ///< The stack pointer becomes the frame pointer plus `value`.
  kFpFromSp,      ///< The frame pointer becomes the stack pointer plus `value`.
  kLeave,         ///< The stack pointer becomes the frame pointer, which is popped then.
  kAddress,       ///< `target` into a register: it may be a function's.
  kClearFp,       ///< The frame pointer becomes 0, as at a thread's first instructions.
  kStore,         ///< Register `number` to the word at `base` plus `value`.
  kLoad,          ///< Register `number` from the word at `base` plus `value`.
};

struct Instruction {
  static constexpr std::uint8_t kNoRegister = 0xff;

  InstructionKind kind = InstructionKind::kOther;
  std::uint8_t length = 0;
  std::uint8_t number = kNoRegister;  ///< By DWARF.
  std::uint8_t base = kNoRegister;    ///< The stack or the frame pointer.
  std::int32_t value = 0;
  std::uint64_t target = 0;
  /// Registers that it changes in other ways than `kind` says: bits by DWARF number, of the stack
  /// pointer, the frame pointer and the extra register only.
  std::uint32_t writes = 0;
};

/// The instruction that `code` begins with, as one at `address`; nothing when it is cut off or
/// none. x86-64 only; nothing elsewhere. Lengths and effects: Intel SDM, volume 2, chapter 2 and
/// appendix A.
[[nodiscard]] std::optional<Instruction> Decode(std::span<const std::byte> code,
                                                std::uint64_t address);

}  // namespace agent::unwind
