// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>

#include "agent/base/clock.h"

namespace agent {

/// When to sample: one tick in every period, at a random place of it, so that ticks do not beat
/// with the program's own timers and their number is exact.
class TickSchedule {
 public:
  TickSchedule(MonotonicTime start, Nanoseconds period, std::uint64_t seed)
      : period_start_(start), period_(period), random_(seed) {
    Draw();
    Draw();
  }

  [[nodiscard]] MonotonicTime next() const { return period_start_ + place_; }
  /// The one after it, if none is left out.
  [[nodiscard]] MonotonicTime following() const { return period_start_ + period_ + next_place_; }
  [[nodiscard]] Nanoseconds period() const { return period_; }

  /// To be called when the tick of `next` has been done, `now` being the time. Returns how many
  /// ticks are left out because their periods have passed.
  std::uint64_t Advance(MonotonicTime now) {
    period_start_ += period_;
    std::uint64_t missed = 0;
    if (now >= period_start_ + period_) {
      missed = static_cast<std::uint64_t>((now - period_start_) / period_);
      period_start_ += period_ * static_cast<std::int64_t>(missed);
    }
    Draw();
    return missed;
  }

 private:
  void Draw() {
    std::uniform_int_distribution<std::int64_t> place(0, period_.count() - 1);
    place_ = next_place_;
    next_place_ = Nanoseconds(place(random_));
  }

  MonotonicTime period_start_;
  Nanoseconds period_;
  std::minstd_rand random_;
  Nanoseconds place_{0};       // in the period
  Nanoseconds next_place_{0};  // in the next one
};

}  // namespace agent
