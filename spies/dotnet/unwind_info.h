// SPDX-License-Identifier: Apache-2.0
// The unwind information that CoreCLR's compilers write for x64: UNWIND_INFO of Windows, with one
// code more (inc/win64unwind.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/process/thread_snapshot.h"

namespace agent::dotnet {

/// One function's, or one funclet's. Immutable.
class UnwindInfo {
 public:
  /// Of the bytes that Parse takes.
  static constexpr std::size_t kHeadSize = 4;
  /// The whole size, from the head's bytes. kMalformed, kUnsupported.
  static Result<std::size_t> SizeOf(std::span<const std::byte> head);
  static Result<UnwindInfo> Parse(std::span<const std::byte> bytes);

  /// From a frame's registers to its caller's: those that a function keeps, the stack pointer and
  /// the pc. `offset`: of the pc from the function's begin; in the prolog only what it has done by
  /// then is undone. kUnreadable: the stack was not copied that far.
  Result<void> Undo(const ThreadSnapshot& snapshot, std::uint32_t offset,
                    Registers& registers) const;

  /// Registers whose value Undo goes by, beside the stack pointer, and such as it knows afterwards
  /// whether they were known before or not (in the body): a bit for each DWARF number.
  [[nodiscard]] std::uint32_t needed() const { return needed_; }
  [[nodiscard]] std::uint32_t restored() const { return restored_; }

 private:
  enum class Operation : std::uint8_t { kPop, kAdd, kFromFramePointer, kRestore };
  struct Step {
    Operation operation;
    std::uint8_t at = 0;  ///< Where the instruction ends that did it, from the function's begin.
    std::uint8_t number = 0;  ///< The register's, in DWARF.
    std::uint32_t value = 0;  ///< Bytes.
  };

  std::uint8_t prolog_size_ = 0;
  std::uint32_t needed_ = 0;
  std::uint32_t restored_ = 0;
  std::vector<Step> steps_;
};

}  // namespace agent::dotnet
