// SPDX-License-Identifier: Apache-2.0
// How much of a thread's stack is copied while it stands still, and the copying.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/process/memory.h"
#include "agent/process/thread_snapshot.h"
#include "spies/spy.h"

namespace agent {

/// What the walks so far tell of one thread's stack.
class StackGuess {
 public:
  /// After a walk; `was_cut` when it came to the end of the copy.
  void Learn(const StackExtent& extent, bool was_cut);
  /// Whether the next copy is as long as one may be, since the last was cut.
  [[nodiscard]] bool copies_all() const { return copies_all_; }
  /// Bytes to copy from `start` on.
  [[nodiscard]] std::uint64_t SizeFrom(std::uint64_t start) const;
  /// Where to copy the thread's own stack from, if `start` is on another one.
  [[nodiscard]] std::optional<std::uint64_t> OwnStackBeside(std::uint64_t start) const;

 private:
  std::uint64_t end_ = 0;      // of the last stack that was whole
  std::uint64_t own_end_ = 0;  // of its own stack, when it has been on another one
  bool is_steady_ = false;     // the last two ended there: a thread of Go's runs on ever other ones
  bool copies_all_ = false;
};

/// Sampling thread only. One copy at a time: Copy while the thread stands still, which asks for no
/// memory, then Keep.
class StackCopier {
 public:
  StackCopier();
  /// The stack that the snapshot's registers tell of.
  void Copy(ProcessMemory& memory, const StackGuess& guess, ThreadSnapshot& snapshot);
  /// Puts what Copy copied into the snapshot.
  void Keep(ThreadSnapshot& snapshot);

 private:
  std::vector<std::byte> scratch_;
  std::array<std::size_t, 2> copied_{};  // bytes for each of the snapshot's stacks
};

}  // namespace agent
