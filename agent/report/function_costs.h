// SPDX-License-Identifier: Apache-2.0
// What functions cost, from a profile's stacks.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/profile/measure.h"
#include "agent/profile/profile.h"

namespace agent {

struct FunctionCost {
  const Function* function = nullptr;
  std::int64_t self = 0;   ///< Where it was the leaf.
  std::int64_t total = 0;  ///< With what it called; recursion counts once.
};

/// All functions of the profile: the most costly (self, then total) first.
[[nodiscard]] std::vector<FunctionCost> CostsByFunction(const Profile& profile,
                                                        const Measure& measure);

}  // namespace agent
