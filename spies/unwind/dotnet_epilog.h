// SPDX-License-Identifier: Apache-2.0
// Epilogs of .NET's code on x86-64: no table describes them, neither UNWIND_INFO nor the call frame
// information of programs that were compiled ahead of time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "agent/base/error.h"
#include "agent/process/thread_snapshot.h"

namespace agent::unwind {

/// The DWARF numbers of rax rcx rdx rbx rsp rbp rsi rdi r8-r15: x64's own order.
inline constexpr std::array<std::uint8_t, 16> kX64Registers = {0, 2, 1,  3,  7,  6,  4,  5,
                                                               8, 9, 10, 11, 12, 13, 14, 15};
/// kUnreadable: the stack was not copied that far.
Result<std::uint64_t> ReadStackWord(const ThreadSnapshot& snapshot, std::uint64_t address);
/// What a pop into the register of this DWARF number does.
Result<void> PopRegister(const ThreadSnapshot& snapshot, std::uint8_t number, Registers& registers);

/// A function's, or a funclet's, code.
struct CodeBounds {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// How much of the code FinishEpilog looks at.
inline constexpr std::size_t kLongestEpilog = 40;

/// Where the code at the pc is the rest of an epilog: does what is left of it, return included.
/// `code` begins at the pc. Without `bounds` a jump counts only behind something that the epilog
/// has undone. False: it is none, and nothing is changed. kUnreadable: the stack was not copied
/// that far.
Result<bool> FinishEpilog(const ThreadSnapshot& snapshot, std::span<const std::byte> code,
                          std::optional<CodeBounds> bounds, Registers& registers);

}  // namespace agent::unwind
