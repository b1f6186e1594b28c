// SPDX-License-Identifier: Apache-2.0
#include "agent/report/function_costs.h"

#include <algorithm>
#include <tuple>

namespace agent {

std::vector<FunctionCost> CostsByFunction(const Profile& profile, const Measure& measure) {
  const auto costs = CostsBy(profile, measure, [](const Function& function) { return &function; });
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
