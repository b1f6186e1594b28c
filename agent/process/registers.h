// SPDX-License-Identifier: Apache-2.0
// The registers of a thread, by their DWARF numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace agent {

#if defined(__x86_64__)
/// A call pushes the return address: it is the last word of every frame.
inline constexpr bool kCallPushes = true;

/// The psABI's DWARF numbers: rax rdx rcx rbx rsi rdi rbp rsp r8-r15, then the return address.
struct RegisterNumbers {
  static constexpr std::size_t kCount = 17;
  static constexpr std::uint8_t kExtra = 3;  ///< rbx: CFA base of ld.so's resolver
  static constexpr std::uint8_t kFp = 6;
  static constexpr std::uint8_t kSp = 7;
  static constexpr std::uint8_t kPc = 16;
  static constexpr std::uint8_t kReturnColumn = 16;
};
#elif defined(__aarch64__)
/// A call leaves the return address in a register; a frame has it anywhere.
inline constexpr bool kCallPushes = false;

/// x0-x30, sp, then the pc (which DWARF does not number).
struct RegisterNumbers {
  static constexpr std::size_t kCount = 33;
  static constexpr std::uint8_t kExtra = 19;
  static constexpr std::uint8_t kFp = 29;
  static constexpr std::uint8_t kSp = 31;
  static constexpr std::uint8_t kPc = 32;
  static constexpr std::uint8_t kReturnColumn = 30;
};
#else
#error "no registers for this architecture"
#endif

struct Registers {
  std::array<std::uint64_t, RegisterNumbers::kCount> values{};
  std::uint64_t thread_pointer = 0;  ///< Base of the thread-local variables; 0 when not read.
  // Known on x86-64 only:
  bool waited = false;        ///< The stop has ended a wait: the thread slept, or was about to.
  bool in_wait_call = false;  ///< It is in a system call that is there to give up the CPU.

  [[nodiscard]] std::uint64_t pc() const { return values[RegisterNumbers::kPc]; }
  [[nodiscard]] std::uint64_t sp() const { return values[RegisterNumbers::kSp]; }
  [[nodiscard]] std::uint64_t fp() const { return values[RegisterNumbers::kFp]; }
};

}  // namespace agent
