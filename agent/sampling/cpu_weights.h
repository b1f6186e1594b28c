// SPDX-License-Identifier: Apache-2.0
// How much CPU time each sample of a thread stands for.
#pragma once

#include <algorithm>
#include <vector>

#include "agent/base/clock.h"
#include "agent/profile/profile.h"

namespace agent {

/// A thread's samples and the growth of its CPU time (schedstat). The kernel's figure moves at
/// scheduler ticks, where the thread goes to sleep, and where it asks for its own CPU time: often
/// just before or behind what it does for a short while. So growth is not given to the few samples
/// since the growth before, but gathered, and shared by all samples of some time, equally or by the
/// time that each stands for. Growth that finds no sample (of a thread that sleeps at every tick)
/// goes to the next one.
class CpuWeights {
 public:
  /// Long beside the pauses of the kernel's figure, which are 1 to 10 ms.
  static constexpr Nanoseconds kGather = std::chrono::milliseconds(50);

  struct Sample {
    StackId stack{};
    WallTime at;
    Nanoseconds time{1};  ///< Since the sample before; the same for all: they share equally.
  };

  void AddSample(Sample sample) {
    waiting_.push_back(sample);
    whole_ += sample.time;
  }

  /// The thread has waited for a CPU since the growth before, as long as this, and then got one:
  /// what it was seen in meanwhile, which are the samples first added, has used nothing.
  void Waited(Nanoseconds time) {
    for (Sample& sample : waiting_) {
      const Nanoseconds part = std::min(time, sample.time - Nanoseconds(1));
      sample.time -= part;
      whole_ -= part;
      time -= part;
    }
  }

  /// Takes `growth`, which includes nothing taken before. Once the samples that wait are of a time
  /// of kGather, or `at_once`, calls `give(sample, nanoseconds)` for each of them.
  template <typename Give>
  void Grow(Nanoseconds growth, bool at_once, Give give) {
    unclaimed_ += growth;
    if (waiting_.empty() || unclaimed_ == Nanoseconds(0)) return;
    if (!at_once && waiting_.back().at - waiting_.front().at < kGather) return;
    // The first one has what is left by rounding.
    const double factor =
        static_cast<double>(unclaimed_.count()) / static_cast<double>(whole_.count());
    const auto share_of = [&](const Sample& sample) {
      return Nanoseconds(
          static_cast<std::int64_t>(factor * static_cast<double>(sample.time.count())));
    };
    Nanoseconds rest = unclaimed_;
    for (const Sample& sample : waiting_) rest -= share_of(sample);
    for (const Sample& sample : waiting_) {
      give(sample, share_of(sample) + rest);
      rest = Nanoseconds(0);
    }
    unclaimed_ = Nanoseconds(0);
    whole_ = Nanoseconds(0);
    waiting_.clear();
  }

  /// The samples that wait; their stacks must follow when the profile is changed for a new one.
  std::vector<Sample>& waiting() { return waiting_; }
  /// What was taken and not given yet.
  [[nodiscard]] Nanoseconds unclaimed() const { return unclaimed_; }

 private:
  std::vector<Sample> waiting_;
  Nanoseconds whole_{0};  // of their times
  Nanoseconds unclaimed_{0};
};

}  // namespace agent
