// SPDX-License-Identifier: Apache-2.0
// The unwind information that CoreCLR's compilers write for x64: UNWIND_INFO of Windows, with one
// code more (inc/win64unwind.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/process/thread_snapshot.h"

namespace agent::dotnet {

/// One function's, or one funclet's. Immutable.
class X64UnwindInfo {
 public:
  /// RUNTIME_FUNCTION; relative to the section's or image's begin.
  struct Function {
    std::uint32_t begin;
    std::uint32_t end;
    std::uint32_t unwind_info;
  };

  static constexpr std::size_t kRegisters = 17;  ///< By DWARF number, then the pc.
  /// Registers that a function hands back as it got them, a bit for each: rbx, rbp, rsp, r12 to
  /// r15.
  static constexpr std::uint32_t kNonvolatile = 1u << 3 | 1u << 6 | 1u << 7 | 0xfu << 12;

  /// Of the bytes that Parse takes.
  static constexpr std::size_t kHeadSize = 4;
  /// The whole size, from the head's bytes. kMalformed, kUnsupported.
  static Result<std::size_t> SizeOf(std::span<const std::byte> head);
  static Result<X64UnwindInfo> Parse(std::span<const std::byte> bytes);

  /// How many bytes of code it is of; 0: none.
  [[nodiscard]] std::uint32_t CodeSize(const Function& function) const {
    return function.end > function.begin ? function.end - function.begin : 0;
  }

  /// From a frame's registers to its caller's: those that a function keeps, the stack pointer and
  /// the pc. `offset`: of the pc from the function's begin; in the prolog only what it has done by
  /// then is undone. Epilogs it does not tell of. `known`: which registers are, a bit for each; of
  /// those that it restores that holds afterwards too. kUnreadable: the stack was not copied that
  /// far; kUnsupported: it goes by a register that is not known.
  Result<void> Undo(const ThreadSnapshot& snapshot, std::uint32_t offset,
                    std::span<std::uint64_t, kRegisters> registers, std::uint32_t& known) const;

 private:
  enum class Operation : std::uint8_t { kPop, kAdd, kFromFramePointer, kRestore };
  struct Step {
    Operation operation;
    std::uint8_t at = 0;  ///< Where the instruction ends that did it, from the function's begin.
    std::uint8_t number = 0;  ///< The register's, in DWARF.
    std::uint32_t value = 0;  ///< Bytes.
  };

  std::uint8_t prolog_size_ = 0;
  // Registers that Undo goes by, beside the stack pointer, and those that it restores in the body.
  std::uint32_t needed_ = 0;
  std::uint32_t restored_ = 0;
  std::vector<Step> steps_;
};

}  // namespace agent::dotnet
