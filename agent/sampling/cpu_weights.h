// SPDX-License-Identifier: Apache-2.0
// How much CPU time each sample of a thread stands for.
#pragma once

#include <vector>

#include "agent/base/clock.h"
#include "agent/profile/profile.h"

namespace agent {

/// A thread's samples and the growth of its CPU time (schedstat). The kernel's figure moves at
/// scheduler ticks only while the thread runs, so growth is shared equally by all samples since the
/// growth before; growth that finds no sample (of a thread that sleeps at every tick) goes to the
/// next one.
class CpuWeights {
 public:
  struct Sample {
    StackId stack{};
    WallTime at;
  };

  void AddSample(Sample sample) { waiting_.push_back(sample); }

  /// Gives out `growth`, which includes nothing given before: calls `give(sample, nanoseconds)` for
  /// each sample that waits.
  template <typename Give>
  void Grow(Nanoseconds growth, Give give) {
    unclaimed_ += growth;
    if (waiting_.empty() || unclaimed_ == Nanoseconds(0)) return;
    const auto count = static_cast<std::int64_t>(waiting_.size());
    Nanoseconds share = unclaimed_ / count;
    Nanoseconds rest = unclaimed_ % count;
    for (const Sample& sample : waiting_) {
      give(sample, share + rest);
      rest = Nanoseconds(0);
    }
    unclaimed_ = Nanoseconds(0);
    waiting_.clear();
  }

  /// The samples that wait; their stacks must follow when the profile is changed for a new one.
  std::vector<Sample>& waiting() { return waiting_; }

 private:
  std::vector<Sample> waiting_;
  Nanoseconds unclaimed_{0};
};

}  // namespace agent
