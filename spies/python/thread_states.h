// SPDX-License-Identifier: Apache-2.0
// Which PyThreadState belongs to which kernel thread, over all interpreters of a process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/activity.h"
#include "spies/python/layout.h"
#include "spies/python/pthread_ids.h"

namespace agent::python {

/// A span of the target's memory.
struct Region {
  RemoteAddress start;
  std::uint32_t size = 0;

  /// Where `bytes` at `address` begin in it; nothing where not all of them lie in it.
  [[nodiscard]] std::optional<std::uint64_t> OffsetOf(RemoteAddress address,
                                                      std::uint64_t bytes) const {
    const std::uint64_t offset = address.value() - start.value();  // large below the start
    if (size < bytes || offset > size - bytes) return std::nullopt;
    return offset;
  }
};

/// The same in the bytes of `regions`, which lie one behind another.
[[nodiscard]] inline std::optional<std::uint64_t> OffsetIn(std::span<const Region> regions,
                                                           RemoteAddress address,
                                                           std::uint64_t bytes) {
  std::uint64_t before = 0;
  for (const Region& region : regions) {
    if (const auto offset = region.OffsetOf(address, bytes)) return before + *offset;
    before += region.size;
  }
  return std::nullopt;
}

/// A frame on the heap that may be part of the next stack.
struct KnownFrame {
  RemoteAddress address;
  std::uint32_t unused = 0;  ///< stacks since the last one that it was part of
  std::uint32_t offset = 0;  ///< in the bytes of ThreadState::regions, one behind another
};

/// One PyThreadState, and what the last read of it tells about the next.
struct ThreadState {
  RemoteAddress address;
  std::int64_t interpreter_id = 0;
  RemoteAddress cframe;         ///< 3.11 and 3.12: where the current frame was held.
  std::vector<Region> regions;  ///< Where its frames were.
  /// What it has in native_thread_id. After a fork that Python was not told of (uWSGI's) that is
  /// the thread of the parent.
  InnerTid native_id{};
  RemoteAddress pthread;  ///< What it has in thread_id.
  // Before 3.11:
  RemoteAddress tid_address;      ///< Where libc keeps the thread's id.
  std::vector<KnownFrame> known;  ///< By address.

  ActivityPlaces places{};
  Activity activity{};  ///< At the last read.
  /// Before which of the frames that the last read appended the collector runs, if it is this
  /// thread's (CollectorWatch): an index in all of `frames`.
  std::optional<std::size_t> gc_at = std::nullopt;
  /// How often its frames were entered from C; 0: not known.
  std::size_t entries = 0;
};

/// Sampling thread only. The memory read is the target's and hostile: lists are bounded, and a list
/// that changes under the walk gives at worst fewer threads until the next refresh.
class ThreadStates {
 public:
  ThreadStates(ProcessMemory& memory, const Layout& layout, RemoteAddress runtime)
      : memory_(memory), layout_(layout), runtime_(runtime), pthread_ids_(memory) {}

  /// The states of one thread, those of the youngest interpreter first: it runs on top of the older
  /// ones. Empty for a thread without Python state. A thread that is not known makes it look for
  /// new ones, for little when there are none; one that is known does so where there are several
  /// interpreters, and now and then, for it may have entered another one.
  std::vector<ThreadState>* Find(InnerTid tid);
  /// The same, of what is known already: reads nothing.
  std::vector<ThreadState>* Known(InnerTid tid);
  /// Reads all lists anew. Threads that were known keep what they learned. kGone, kUnreadable, ...;
  /// kTimeout when no interpreter has started yet, or where the last one took so long that it is
  /// too soon.
  Result<void> Refresh();

 private:
  struct Head {
    RemoteAddress interpreter;
    std::int64_t id = 0;
    RemoteAddress gil;
    RemoteAddress gc_callbacks;
    RemoteAddress first_thread;
    std::int64_t first_tid = 0;  // or pthread_t
    friend bool operator==(const Head&, const Head&) = default;
  };
  Result<std::vector<Head>> ReadHeads();
  bool IsStarting() const;
  bool HasNewStates();
  Result<void> ReadThreads(const Head& head);
  void AddLinked(ThreadState state);
  void Adopt(InnerTid tid);
  void MoveAdopted();
  [[nodiscard]] bool HasNativeIds() const { return layout_.thread.native_thread_id != 0; }

  ProcessMemory& memory_;
  const Layout& layout_;
  RemoteAddress runtime_;
  std::vector<Head> heads_;
  MonotonicTime refreshed_;
  MonotonicTime next_refresh_;    // not before
  std::size_t threads_read_ = 0;  // by the refresh under way
  MonotonicTime looked_;          // for new states
  std::unordered_map<std::int64_t, std::vector<ThreadState>> states_;
  PthreadIds pthread_ids_;
  std::vector<RemoteAddress> pthreads_;  // of all states, where there are no native ids
  // Where there are: whether one of them was right, and whose states another thread has.
  bool is_found_ = false;
  struct Adoption {
    std::int64_t from = 0;
    std::int64_t to = 0;
  };
  std::optional<Adoption> adopted_;
};

}  // namespace agent::python
