// SPDX-License-Identifier: Apache-2.0
// Time comes in through Clock, so that tests can turn it by hand.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

namespace agent {

using Nanoseconds = std::chrono::nanoseconds;
/// CLOCK_MONOTONIC: deadlines and intervals.
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, Nanoseconds>;
/// CLOCK_REALTIME: what a profile says of when it was taken.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Nanoseconds>;

/// That this thread has used. What a piece of work costs: a wait for a CPU says nothing about it.
[[nodiscard]] inline Nanoseconds OwnCpuTime() {
  timespec time{};
  static_cast<void>(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time));
  return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual MonotonicTime Now() const = 0;
  [[nodiscard]] virtual WallTime WallNow() const = 0;
};

/// The machine's clocks. Safe from every thread.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] MonotonicTime Now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] WallTime WallNow() const override { return std::chrono::system_clock::now(); }
};

}  // namespace agent
