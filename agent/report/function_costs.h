// SPDX-License-Identifier: Apache-2.0
// What functions cost, from a profile's stacks.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "agent/profile/measure.h"
#include "agent/profile/profile.h"

namespace agent {

struct FunctionCost {
  const Function* function = nullptr;
  std::int64_t self = 0;   ///< Where it was the leaf.
  std::int64_t total = 0;  ///< With what it called; recursion counts once.
};

/// Costs by what `key_of` makes of each function; functions with one key are one, and count once in
/// a stack.
template <typename KeyOf>
[[nodiscard]] auto CostsBy(const Profile& profile, const Measure& measure, const KeyOf& key_of) {
  using Key = std::decay_t<decltype(key_of(std::declval<const Function&>()))>;
  std::map<Key, FunctionCost> costs;
  std::set<Key> seen;
  for (const Profile::Entry& entry : profile.Entries()) {
    const std::int64_t value = entry.value.*measure.value;
    seen.clear();
    for (const Frame& frame : profile.StackFrames(entry.key.stack)) {
      const Key key = key_of(*frame.function);
      FunctionCost& cost = costs[key];
      cost.function = frame.function;
      if (seen.empty()) cost.self += value;
      if (seen.insert(key).second) cost.total += value;
    }
  }
  return costs;
}

/// All functions of the profile: the most costly (self, then total) first.
[[nodiscard]] std::vector<FunctionCost> CostsByFunction(const Profile& profile,
                                                        const Measure& measure);

}  // namespace agent
