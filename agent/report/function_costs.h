// SPDX-License-Identifier: Apache-2.0
// What functions cost, from a profile's stacks.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "agent/profile/profile.h"

namespace agent {

/// One of a sample's values.
struct Measure {
  std::int64_t SampleValue::* value = nullptr;
  std::string_view name;  ///< "cpu", "wall", "samples"
  double unit = 1;        ///< In one of what is shown (seconds, samples).
  int decimals = 0;       ///< To show.
};

inline constexpr Measure kCpuTime{&SampleValue::cpu_ns, "cpu", 1e9, 2};
inline constexpr Measure kWallTime{&SampleValue::wall_ns, "wall", 1e9, 2};
inline constexpr Measure kSampleCount{&SampleValue::count, "samples", 1, 0};

/// What a profile is about: wall time where it has that, else CPU time, else (files of other tools)
/// samples.
[[nodiscard]] Measure MainMeasure(const SampleValue& total);

struct FunctionCost {
  const Function* function = nullptr;
  std::int64_t self = 0;   ///< Where it was the leaf.
  std::int64_t total = 0;  ///< With what it called; recursion counts once.
};

/// All functions of the profile: the most costly (self, then total) first.
[[nodiscard]] std::vector<FunctionCost> CostsByFunction(const Profile& profile,
                                                        const Measure& measure);

}  // namespace agent
