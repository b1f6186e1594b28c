// SPDX-License-Identifier: Apache-2.0
#include "agent/report/function_costs.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

namespace agent {

std::vector<FunctionCost> CostsByFunction(const Profile& profile, const Measure& measure) {
  std::unordered_map<const Function*, FunctionCost> costs;
  std::unordered_set<const Function*> seen;
  for (const Profile::Entry& entry : profile.Entries()) {
    const std::int64_t value = entry.value.*measure.value;
    seen.clear();
    for (const Frame& frame : profile.StackFrames(entry.key.stack)) {
      FunctionCost& cost = costs[frame.function];
      cost.function = frame.function;
      if (seen.empty()) cost.self += value;
      if (seen.insert(frame.function).second) cost.total += value;
    }
  }
  std::vector<FunctionCost> sorted;
  sorted.reserve(costs.size());
  for (const auto& [function, cost] : costs) sorted.push_back(cost);
  std::ranges::sort(sorted, [](const FunctionCost& a, const FunctionCost& b) {
    if (a.self != b.self) return a.self > b.self;
    if (a.total != b.total) return a.total > b.total;
    return std::tie(a.function->name, a.function->file, a.function->start_line) <
           std::tie(b.function->name, b.function->file, b.function->start_line);
  });
  return sorted;
}

}  // namespace agent
