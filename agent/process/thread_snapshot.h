// SPDX-License-Identifier: Apache-2.0
// A thread as it was in one instant.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/base/types.h"
#include "agent/process/registers.h"

namespace agent {

/// A piece of stack memory.
struct StackCopy {
  std::uint64_t start = 0;
  std::vector<std::byte> bytes;
};

/// Where code stands that runs on another stack for the moment; all 0: there is no such code.
struct SwitchedFrom {
  std::uint64_t pc = 0;
  std::uint64_t sp = 0;
  std::uint64_t fp = 0;
};

/// What a spy adds to a snapshot for itself.
struct SnapshotPart {
  virtual ~SnapshotPart() = default;
};

struct ThreadSnapshot {
  /// Below the stack pointer, code may still use these bytes (x86-64 psABI, red zone).
  static constexpr std::uint64_t kRedZone = 128;

  Registers registers;
  std::string comm;  ///< The thread's name, as the kernel has it.
  /// Only pc and sp are known: the thread sleeps, and was not stopped.
  bool is_of_sleeper = false;
  /// The first one begins at the stack pointer minus kRedZone. The second one is of the thread's
  /// own stack, for a thread that was on another one (a signal handler's); empty else.
  std::array<StackCopy, 2> stacks;
  /// What is on the second stack, where the runtime tells (Go's goroutines).
  std::optional<SwitchedFrom> switched_from;
  std::shared_ptr<SnapshotPart> part;  ///< The spy's that took it; null: none.

  /// The word at an address of the thread's stack, if it was copied.
  [[nodiscard]] std::optional<std::uint64_t> ReadWord(std::uint64_t address) const {
    for (const StackCopy& copy : stacks) {
      const std::uint64_t offset = address - copy.start;
      if (copy.bytes.size() < sizeof(std::uint64_t) ||
          offset > copy.bytes.size() - sizeof(std::uint64_t)) {
        continue;
      }
      std::uint64_t word = 0;
      std::memcpy(&word, copy.bytes.data() + offset, sizeof(word));
      return word;
    }
    return std::nullopt;
  }
};

}  // namespace agent
