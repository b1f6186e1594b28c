// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "agent/base/clock.h"
#include "agent/process/supervision.h"

namespace agent {

/// Tells from the shared page whether the sampler hangs while it holds a thread of somebody else's.
/// Pure: the keeper calls Look at the times that it asks for. About ten looks a second while all is
/// well; a hold that hangs is found 120 ms after it began.
class Watchdog {
 public:
  static constexpr Nanoseconds kLongestHold = std::chrono::milliseconds(100);
  static constexpr Nanoseconds kLongestPending = std::chrono::seconds(1);
  /// A hold that began right after a look is seen by the next one before it is too old.
  static constexpr Nanoseconds kLookPeriod = std::chrono::milliseconds(95);
  /// What looks hung must look the same a moment later: where the whole container was throttled or
  /// the machine slept, the sampler had no time either, and nobody could run in its threads.
  static constexpr Nanoseconds kConfirm = std::chrono::milliseconds(20);

  struct Verdict {
    bool hung = false;
    MonotonicTime next_look;
  };
  [[nodiscard]] Verdict Look(const SharedPage& page, MonotonicTime now);

 private:
  struct Suspicion {
    std::int64_t holding_since;
    std::int64_t pending_since;
    MonotonicTime confirm_at;
  };
  std::optional<Suspicion> suspicion_;
};

}  // namespace agent
