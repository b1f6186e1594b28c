// SPDX-License-Identifier: Apache-2.0
// As much of an arm64 processor as prologs and epilogs need: what instructions do to the stack
// pointer, to the registers that functions keep, and to the stack.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "agent/process/thread_snapshot.h"

namespace agent::live {

enum class Arm64Step : std::uint8_t {
  kNext,
  kLeave,  ///< A return, or a jump through a register.
  kJump,   ///< To Arm64Machine::target; nothing has been done.
  kCall,   ///< Nothing has been done.
  kLost,   ///< The stack pointer is not within the stack.
};

class Arm64Machine {
 public:
  using Registers = std::array<std::uint64_t, 33>;  // x0 to x30, sp, pc

  static constexpr std::size_t kSp = 31;
  static constexpr std::uint64_t kStack = 0x7000'0000;
  static constexpr std::uint64_t kStackSize = 1u << 20;
  /// Where the stack pointer begins.
  static constexpr std::uint64_t kTop = kStack + kStackSize - 4096;

  Arm64Machine() {
    snapshot.stacks[0].start = kStack;
    snapshot.stacks[0].bytes.resize(kStackSize);
  }
  /// Registers that no other `number` had, and the stack pointer at the top.
  void Reset(std::uint64_t number);
  /// Register `number` (of x0 to x30) holds what Reset put there.
  [[nodiscard]] std::uint64_t Original(std::size_t number) const;
  /// Something else than that.
  void Spoil(std::size_t number);

  Arm64Step Do(std::uint32_t instruction, std::uint64_t pc);

  Registers registers{};
  std::uint32_t saved = 0;   ///< Registers that lie in the stack as Reset put them: a bit for each.
  std::uint64_t target = 0;  ///< Of kJump.
  ThreadSnapshot snapshot;   ///< The stack.

 private:
  [[nodiscard]] std::uint64_t ValueOf(std::uint32_t number, bool is_sp) const;
  void Set(std::uint32_t number, std::uint64_t value, bool is_sp);
  [[nodiscard]] bool IsFrame(std::uint32_t base) const;
  bool Access(std::uint32_t instruction, std::uint32_t number, std::uint64_t address, bool is_load);
  bool DoPair(std::uint32_t instruction);
  bool DoSingle(std::uint32_t instruction, bool is_indexed);

  std::uint64_t salt_ = 0;
};

}  // namespace agent::live
