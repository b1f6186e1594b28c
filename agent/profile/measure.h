// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "agent/profile/profile.h"

namespace agent {

/// One of a sample's values.
struct Measure {
  std::int64_t SampleValue::* value = nullptr;
  std::string_view name;  ///< "cpu", "wall", "samples"
  double unit = 1;        ///< How many make one of what is shown (seconds, samples).
  int decimals = 0;       ///< To show.
};

inline constexpr Measure kCpuTime{&SampleValue::cpu_ns, "cpu", 1e9, 2};
inline constexpr Measure kWallTime{&SampleValue::wall_ns, "wall", 1e9, 2};
inline constexpr Measure kSampleCount{&SampleValue::count, "samples", 1, 0};

/// What a profile is about: wall time where it has that, else CPU time, else (files of other tools)
/// samples.
[[nodiscard]] inline Measure MainMeasure(const SampleValue& total) {
  if (total.wall_ns > 0) return kWallTime;
  return total.cpu_ns > 0 ? kCpuTime : kSampleCount;
}

}  // namespace agent
