// SPDX-License-Identifier: Apache-2.0
// The unwind information that CoreCLR's compilers write for arm64: .xdata of Windows ("ARM64
// exception handling" of Microsoft's documentation). It never comes packed into the function's
// entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/process/thread_snapshot.h"

namespace agent::dotnet {

/// One function's, one funclet's, or that of a piece of a large one. Immutable.
class Arm64UnwindInfo {
 public:
  /// RUNTIME_FUNCTION; relative to the section's or image's begin.
  struct Function {
    std::uint32_t begin;
    std::uint32_t unwind_info;
  };

  static constexpr std::size_t kRegisters = 33;  ///< x0 to x30, sp, pc.
  /// Registers that a function hands back as it got them, a bit for each: x19 to x29, sp.
  static constexpr std::uint32_t kNonvolatile = 0x7ffu << 19 | 1u << 31;

  /// Of the bytes that Parse takes.
  static constexpr std::size_t kHeadSize = 8;
  /// The whole size, from the head's bytes. kMalformed, kUnsupported, kLimit.
  static Result<std::size_t> SizeOf(std::span<const std::byte> head);
  static Result<Arm64UnwindInfo> Parse(std::span<const std::byte> bytes);

  /// How many bytes of code it is of; 0: none.
  [[nodiscard]] std::uint32_t CodeSize(const Function& /*function*/) const { return code_size_; }

  /// From a frame's registers to its caller's: those that a function keeps, the stack pointer and
  /// the pc, which may be signed. `offset`: of the pc from the function's begin; in the prolog only
  /// what it has done by then is undone, in an epilog what is left to be. `known`: which registers
  /// are, a bit for each; of those that it restores that holds afterwards too. kUnreadable: the
  /// stack was not copied that far; kUnsupported: it goes by a register that is not known;
  /// kMalformed: its codes make no sense.
  Result<void> Undo(const ThreadSnapshot& snapshot, std::uint32_t offset,
                    std::span<std::uint64_t, kRegisters> registers, std::uint32_t& known) const;

 private:
  // Where an epilog begins, in instructions, and its codes, in bytes.
  struct Epilog {
    std::uint32_t begin;
    std::uint32_t codes;
  };
  // Codes to begin with, and how many of them are not to be undone.
  struct Place {
    std::size_t codes = 0;
    std::size_t skipped = 0;
  };

  [[nodiscard]] Place PlaceOf(std::uint32_t instruction) const;
  [[nodiscard]] std::size_t InstructionsFrom(std::size_t codes) const;

  std::uint32_t code_size_ = 0;
  std::vector<Epilog> epilogs_;   // in order
  std::vector<std::byte> codes_;  // the prolog's first, its last instruction foremost
};

}  // namespace agent::dotnet
