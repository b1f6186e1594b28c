// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "agent/base/clock.h"

namespace agent {

/// How long to wait between tries: full jitter (any time up to a bound that doubles with every
/// failure), so that the agents of a fleet do not come back in one moment.
class Backoff {
 public:
  static constexpr Nanoseconds kBase = std::chrono::milliseconds(500);
  static constexpr Nanoseconds kCap = std::chrono::seconds(30);
  /// No wait is shorter: a dead server must not cost CPU time.
  static constexpr Nanoseconds kLeast = std::chrono::milliseconds(100);

  /// `random` gives numbers of [0, 1).
  explicit Backoff(std::function<double()> random);

  /// The wait after one more failure.
  [[nodiscard]] Nanoseconds Next();
  void Reset() { bound_ = kBase; }

 private:
  std::function<double()> random_;
  Nanoseconds bound_ = kBase;
};

}  // namespace agent
