// SPDX-License-Identifier: Apache-2.0
// What an unwinder must understand of instructions, where nothing else describes the code. One .cpp
// file for each architecture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/process/registers.h"

namespace agent::unwind {

/// As many bytes before a return address as any call has.
constexpr std::size_t kLongestCall = 8;

/// Whether the code that ends at a return address ends with a call. `before` are the kLongestCall
/// bytes before it.
[[nodiscard]] bool EndsWithCall(std::span<const std::byte> before);

/// Whether a system call has just returned 0 here, as clone does in the thread or process that it
/// made, and the C library has not gone on from there yet. `before` are the kLongestCall bytes
/// before the instruction.
[[nodiscard]] bool IsFirstOfChild(std::span<const std::byte> before, const Registers& registers);

/// Whether the code is the end of a signal handler: the call of rt_sigreturn that the kernel makes
/// a handler return to (the C library's or Go's).
[[nodiscard]] bool IsSignalReturn(std::span<const std::byte> code);

/// Where the ucontext's registers lie, from the stack pointer at the signal return.
/// RegisterNumbers::kCount offsets, by DWARF number.
[[nodiscard]] std::span<const std::uint16_t> SignalFrameOffsets();

/// Where a function that keeps a frame pointer has its caller's address, at its first and last
/// instructions: bytes from the stack pointer; negative when the frame pointer tells. `before` and
/// `after` are the code before and from the instruction that runs.
struct FrameSetup {
  std::int32_t return_address = -1;
  std::int32_t saved_fp = -1;  ///< Negative: still in its register.
  /// The return address is in RegisterNumbers::kReturnColumn, and the frame pointer is the
  /// caller's.
  bool in_link_register = false;
};
[[nodiscard]] FrameSetup SetupAt(std::span<const std::byte> before,
                                 std::span<const std::byte> after);

/// A return address without what the architecture signs it with.
[[nodiscard]] std::uint64_t StripReturnAddress(std::uint64_t address);

}  // namespace agent::unwind
