// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "agent/base/clock.h"
#include "agent/process/supervision.h"

namespace agent {

/// What the scheduler says of the sampler's thread that stops others.
struct SamplerCpu {
  bool runnable = false;  ///< It runs, or waits for a CPU.
  Nanoseconds run{0};     ///< Time that it had on a CPU.
};

/// Tells from the shared page whether the sampler hangs while it holds a thread of somebody else's.
/// Pure: the keeper calls Look at the times that it asks for. About ten looks a second while all is
/// well; a hold that hangs is found 120 ms after it began.
///
/// A sampler that only waits for a CPU does not hang, and SIGKILL would not free the thread sooner:
/// it is the dying sampler that detaches, late in its exit, and for that it needs the same CPU.
/// (Measured, a tracer at nice 19 on a CPU with eight busy loops at nice -10, from SIGKILL or from
/// the order to detach: 5.0, > 20, > 20 s with SIGKILL, 5.7, 14.4, 2.8 s without.) Killing it would
/// lose its samples, and where no new sampler may attach the rest of the run, for nothing. So it is
/// let finish. Not for ever: where it gets no CPU for kLongestStarved it had better not stop
/// anybody, and then it is killed as one that hangs.
class Watchdog {
 public:
  static constexpr Nanoseconds kLongestHold = std::chrono::milliseconds(100);
  /// Since the sampler last looked after its pending stops, which it does more often than that: a
  /// thread that stopped in between is held as any other.
  static constexpr Nanoseconds kLongestPending = std::chrono::milliseconds(150);
  /// A hold that began right after a look is seen by the next one before it is too old.
  static constexpr Nanoseconds kLookPeriod = std::chrono::milliseconds(95);
  /// What looks hung must look the same a moment later: where the whole container was throttled or
  /// the machine slept, the sampler had no time either, and nobody could run in its threads.
  static constexpr Nanoseconds kConfirm = std::chrono::milliseconds(20);
  static constexpr Nanoseconds kLongestStarved = std::chrono::seconds(1);

  struct Verdict {
    bool hung = false;
    MonotonicTime next_look;
  };
  /// `read_cpu` is called only when a hold looks hung.
  [[nodiscard]] Verdict Look(const SharedPage& page, MonotonicTime now,
                             const std::function<SamplerCpu()>& read_cpu);

 private:
  struct Suspicion {
    std::int64_t holding_since;
    std::int64_t pending_since;
    MonotonicTime began;
    Nanoseconds run;  // of the sampler, then
    MonotonicTime confirm_at;
  };
  std::optional<Suspicion> suspicion_;
};

}  // namespace agent
