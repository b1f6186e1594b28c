// SPDX-License-Identifier: Apache-2.0
// The quick looks at one thread between two ticks, for rates that a tick for each sample cannot
// reach. They become samples at the next tick, when it is known that the thread ran all the while.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/clock.h"
#include "agent/profile/frame.h"
#include "agent/profile/profile.h"
#include "spies/spy.h"

namespace agent {

/// Sampling thread only.
class Burst {
 public:
  /// Samples of one stack.
  struct Sum {
    StackId stack{};
    std::int64_t count = 0;
    Nanoseconds time{0};  ///< from look to look
  };

  /// `looks`: what the spy began right after a sample that was taken at `now`.
  void Begin(QuickLooks& looks, MonotonicTime now);
  [[nodiscard]] bool is_open() const { return looks_ != nullptr; }
  /// One look. False when the burst is over: the spy does not know the stack, or it has been long
  /// enough.
  bool Look(MonotonicTime now);
  /// Ends it, and interns what was seen in `window`. The sums wait for Take or Drop.
  void End(Profile& window);
  /// Ends it, without a word to the spy, which is no more.
  void Abandon();
  [[nodiscard]] bool empty() const { return sums_.empty(); }
  /// The thread ran all the while: its samples. The next burst may be longer. Valid until the next
  /// End.
  [[nodiscard]] std::span<const Sum> Take();
  /// It did not, or that is not known. The next burst is shorter.
  void Drop();
  /// Of the last look that is part of the sums, or of the sample before all of them.
  [[nodiscard]] MonotonicTime last() const { return last_; }
  /// The stacks' ids have changed.
  void ForgetIds() { ids_.clear(); }

 private:
  struct OneLook {
    std::uint32_t number;
    Nanoseconds time;
  };

  QuickLooks* looks_ = nullptr;
  Nanoseconds length_{std::chrono::microseconds(50)};
  MonotonicTime end_;
  MonotonicTime last_;
  MonotonicTime before_;
  std::vector<OneLook> seen_;
  std::vector<Sum> sums_;
  std::vector<Sum> taken_;
  std::uint64_t ids_generation_ = 0;
  std::vector<std::optional<StackId>> ids_;  // by number
  std::vector<std::uint32_t> places_;        // by number: place in sums_, plus one
  Stack stack_;
};

}  // namespace agent
