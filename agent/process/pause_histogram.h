// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "agent/base/clock.h"

namespace agent {

/// How long threads were held stopped, in buckets of powers of two.
class PauseHistogram {
 public:
  void Add(Nanoseconds pause) {
    const auto ns = static_cast<std::uint64_t>(pause.count());
    ++buckets_[static_cast<std::size_t>(std::bit_width(ns))];
    ++count_;
    total_ += pause;
    if (pause > max_) max_ = pause;
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Nanoseconds total() const { return total_; }
  [[nodiscard]] Nanoseconds max() const { return max_; }
  /// The upper bound of the bucket that holds the given share (0 to 1) of all pauses; 0 without
  /// pauses.
  [[nodiscard]] Nanoseconds Quantile(double share) const {
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > 0 && static_cast<double>(seen) >= share * static_cast<double>(count_)) {
        return std::min(Nanoseconds((std::int64_t{1} << i) - 1), max_);
      }
    }
    return max_;
  }

 private:
  std::array<std::uint64_t, 65> buckets_{};
  std::uint64_t count_ = 0;
  Nanoseconds total_{0};
  Nanoseconds max_{0};
};

}  // namespace agent
