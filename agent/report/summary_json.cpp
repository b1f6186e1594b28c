// SPDX-License-Identifier: Apache-2.0
#include "agent/report/summary_json.h"

#include <fmt/format.h>

#include "agent/format/json.h"
#include "agent/report/facts_json.h"
#include "agent/report/function_costs.h"

namespace agent {

std::string SummaryJson(const Profile& profile, const RunFacts& facts) {
  const SampleValue total = profile.Total();
  const Measure measure = MainMeasure(total);
  const auto shown = [&](std::int64_t value) {
    return fmt::format("{:.{}f}", static_cast<double>(value) / measure.unit,
                       measure.unit == 1 ? 0 : 9);
  };
  std::string functions;
  for (const FunctionCost& cost : CostsByFunction(profile, measure)) {
    const Function& function = *cost.function;
    functions += fmt::format(
        R"({}{{"name":{},"file":{},"line":{},"self":{},"total":{}}})",
        functions.empty() ? "" : ",\n", JsonString(function.name), JsonString(function.file),
        function.start_line == 0 ? "null" : fmt::format("{}", function.start_line),
        shown(cost.self), shown(cost.total));
  }
  return fmt::format("{{\"facts\":{},\n\"measure\":{},\"total\":{},\"functions\":[\n{}]}}\n",
                     FactsJson(profile, facts), JsonString(measure.name),
                     shown(total.*measure.value), functions);
}

}  // namespace agent
