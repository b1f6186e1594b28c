// SPDX-License-Identifier: Apache-2.0
#include "agent/report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "agent/report/function_costs.h"
#include "agent/report/printable.h"
#include "agent/report/unnamed_report.h"

namespace agent {
namespace {

std::string Header(const Profile& profile, const SampleValue& total) {
  std::string text = fmt::format("agent: {} samples, {:.2f} s of CPU in {:.2f} s", total.count,
                                 static_cast<double>(total.cpu_ns) / 1e9,
                                 static_cast<double>(profile.duration().count()) / 1e9);
  const LossCounters& losses = profile.losses();
  if (losses.LostSamples() > 0) text += fmt::format(", {} samples lost", losses.LostSamples());
  if (losses.late_ticks > 0) text += fmt::format(", {} ticks left out", losses.late_ticks);
  if (losses.truncated > 0) text += fmt::format(", {} stacks cut", losses.truncated);
  if (losses.incomplete > 0) {
    text += fmt::format(", {} stacks without callers", losses.incomplete);
  }
  if (losses.folded > 0) text += fmt::format(", {} stacks folded", losses.folded);
  return text + "\n";
}

}  // namespace

std::string FormatSummary(const Profile& profile, std::span<const UnnamedCode> unnamed,
                          std::size_t max_functions) {
  const SampleValue total = profile.Total();
  std::string text = Header(profile, total);
  const Measure measure = MainMeasure(total);
  const auto whole = static_cast<double>(total.*measure.value);
  if (whole <= 0) return text;
  text += fmt::format("    self    total {:>7}  function\n",
                      measure.value == kCpuTime.value    ? "CPU s"
                      : measure.value == kWallTime.value ? "wall s"
                                                         : "samples");
  const std::vector<FunctionCost> costs = CostsByFunction(profile, measure);
  const auto share = [&](std::int64_t value) { return 100.0 * static_cast<double>(value) / whole; };
  for (const FunctionCost& cost : std::span(costs).first(std::min(costs.size(), max_functions))) {
    text += fmt::format("{:6.2f} % {:6.2f} % {:7.{}f}  {}\n", share(cost.self), share(cost.total),
                        static_cast<double>(cost.self) / measure.unit, measure.decimals,
                        DescribeFunction(*cost.function));
  }
  if (costs.size() > max_functions) {
    text += fmt::format("    and {} more functions\n", costs.size() - max_functions);
  }
  if (const std::string line = UnnamedLine(unnamed, total.count); !line.empty()) {
    text += "agent: " + Printable(line) + "\n";
  }
  return text;
}

}  // namespace agent
