// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>

#include "agent/base/clock.h"

namespace agent::python {

/// A wait before a read is tried again. A program that calls in a loop of a microsecond is at the
/// same place each time that a read of four microseconds is repeated: without it 9 % of the stacks
/// of such a program were torn in eight tries, with it 0.14 % (3.13, calls of 1 us).
class Jitter {
 public:
  void Wait() {
    const SystemClock clock;
    const MonotonicTime until = clock.Now() + Nanoseconds(length_(random_));
    while (clock.Now() < until) {
    }
  }

 private:
  std::minstd_rand random_;
  std::uniform_int_distribution<std::int64_t> length_{0, 1500};
};

}  // namespace agent::python
