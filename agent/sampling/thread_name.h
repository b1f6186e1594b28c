// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "spies/spy.h"

namespace agent {

/// What the runtime calls a thread, asked for now and then: a name may come a moment after the
/// thread, or change without a word.
class ThreadName {
 public:
  /// Whether the name is another one now.
  bool Follow(Spy& spy, InnerTid tid, MonotonicTime now) {
    if (now < next_) return false;
    std::optional<std::string> name = spy.ThreadName(tid, now);
    if (first_ == MonotonicTime{}) first_ = now;
    // A thread may be sampled for a while before it is entered where its name is.
    next_ =
        now + (name ? kPause : std::min<Nanoseconds>((now - first_) / 16, kLongestPauseWithout));
    if (!name || *name == name_) return false;
    name_ = *std::move(name);
    return true;
  }
  /// What it had does not hold any more, or may not.
  void AskSoon() {
    next_ = {};
    first_ = {};
  }
  void Forget() { *this = {}; }

  /// The kernel's, where the runtime has none.
  [[nodiscard]] const std::string& Or(const std::string& comm) const {
    return name_.empty() ? comm : name_;
  }

 private:
  static constexpr Nanoseconds kLongestPauseWithout = std::chrono::seconds(1);
  static constexpr Nanoseconds kPause = std::chrono::seconds(10);

  std::string name_;
  MonotonicTime first_;  // asked for the first time
  MonotonicTime next_;   // not before
};

}  // namespace agent
