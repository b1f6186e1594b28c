// SPDX-License-Identifier: Apache-2.0
// Which PyThreadState belongs to which kernel thread, over all interpreters of a process.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"

namespace agent::python {

/// A span of the target's memory.
struct Region {
  RemoteAddress start;
  std::uint32_t size = 0;
};

/// One PyThreadState, and what the last read of it tells about the next.
struct ThreadState {
  RemoteAddress address;
  std::int64_t interpreter_id = 0;
  RemoteAddress cframe;         ///< 3.11 and 3.12: where the current frame was held.
  std::vector<Region> regions;  ///< Where its frames were.
};

/// Sampling thread only. The memory read is the target's and hostile: lists are bounded, and a list
/// that changes under the walk gives at worst fewer threads until the next refresh.
class ThreadStates {
 public:
  ThreadStates(ProcessMemory& memory, const Layout& layout, RemoteAddress runtime)
      : memory_(memory), layout_(layout), runtime_(runtime) {}

  /// The states of one thread, those of the youngest interpreter first: it runs on top of the older
  /// ones. Empty for a thread without Python state. A thread that is not known makes it look for
  /// new ones, for little when there are none.
  std::vector<ThreadState>* Find(InnerTid tid);
  /// Reads all lists anew. Threads that were known keep what they learned. kGone, kUnreadable, ...;
  /// kTimeout when no interpreter has started yet.
  Result<void> Refresh();

 private:
  struct Head {
    RemoteAddress interpreter;
    std::int64_t id = 0;
    RemoteAddress first_thread;
    std::int64_t first_tid = 0;
    friend bool operator==(const Head&, const Head&) = default;
  };
  Result<std::vector<Head>> ReadHeads();
  Result<void> ReadThreads(const Head& head);

  ProcessMemory& memory_;
  const Layout& layout_;
  RemoteAddress runtime_;
  std::vector<Head> heads_;
  MonotonicTime refreshed_;
  std::unordered_map<std::int64_t, std::vector<ThreadState>> states_;
};

}  // namespace agent::python
