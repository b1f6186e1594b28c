// SPDX-License-Identifier: Apache-2.0
#include "agent/report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/counted.h"
#include "agent/report/function_costs.h"
#include "agent/report/printable.h"
#include "agent/report/unnamed_report.h"

namespace agent {
namespace {

constexpr double kMuchLess = 0.9;  // than the rate that was asked for
constexpr double kFewTicks = 50;   // too few to tell

double Seconds(std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

std::string SampledLine(const Profile& profile, const RunFacts& facts, const SampleValue& total) {
  std::string text = Counted(total.count, "sample");
  if (total.cpu_ns > 0) text += fmt::format(", {:.2f} s of CPU", Seconds(total.cpu_ns));
  if (profile.duration() > Nanoseconds(0)) {
    text += fmt::format(" in {:.2f} s", Seconds(profile.duration().count()));
  }
  if (facts.kernel_cpu) {
    text += fmt::format(" (the kernel counted {:.2f} s)", Seconds(facts.kernel_cpu->count()));
  }
  const double asked =
      profile.period().count() > 0 ? 1e9 / static_cast<double>(profile.period().count()) : 0;
  const LossCounters& losses = profile.losses();
  if (losses.late_ticks > 0 && asked * Seconds(profile.duration().count()) > kFewTicks &&
      facts.achieved_rate > 0 && facts.achieved_rate < kMuchLess * asked) {
    text +=
        fmt::format(", {:.0f} looks a second were reached of {:.0f}", facts.achieved_rate, asked);
  }
  const std::pair<std::uint64_t, std::string_view> counts[] = {
      {losses.LostSamples(), "sample# lost"},
      {losses.late_ticks, "tick# left out"},
      {losses.truncated, "stack# cut"},
      {losses.incomplete, "stack# without callers"},
      {losses.folded, "stack# folded"}};
  for (const auto& [count, what] : counts) {
    if (count == 0) continue;
    const std::size_t plural = what.find('#');
    text += fmt::format(", {} {}{}{}", count, what.substr(0, plural), count == 1 ? "" : "s",
                        what.substr(plural + 1));
  }
  return text;
}

// "" where nothing is known, as of another tool's file.
std::string CostLine(const RunFacts& facts) {
  std::string text;
  for (const RuntimeFacts& runtime : facts.runtimes) {
    text += (text.empty() ? "" : ", ") + runtime.name;
    if (runtime.processes > 1) text += fmt::format(" ({} processes)", runtime.processes);
  }
  if (!facts.own) return text;
  if (!text.empty()) text += "; ";
  const PauseFacts& pauses = facts.pauses;
  text += pauses.count == 0
              ? "nothing was stopped"
              : fmt::format("{}, median {} us, longest {} us", Counted(pauses.count, "stop"),
                            pauses.p50.count() / 1000, pauses.max.count() / 1000);
  text +=
      fmt::format("; the agent took {:.2f} s of CPU, {:.1f} MB", Seconds(facts.own->cpu.count()),
                  static_cast<double>(facts.own->peak_bytes) / 1e6);
  if (facts.throttling && facts.throttling->throttled_periods > 0) {
    text += fmt::format("; over its CPU limit for {:.2f} s",
                        Seconds(facts.throttling->throttled.count()));
  }
  return text;
}

std::string Table(const Profile& profile, const Measure& measure, double whole,
                  std::size_t max_functions) {
  const std::vector<FunctionCost> costs = CostsByFunction(profile, measure);
  const std::string_view unit = measure.value == kCpuTime.value    ? "CPU s"
                                : measure.value == kWallTime.value ? "wall s"
                                                                   : "samples";
  const std::string which =
      costs.size() > max_functions ? fmt::format(" ({} of {})", max_functions, costs.size()) : "";
  std::string text = fmt::format("    self    total {:>7}  function{}\n", unit, which);
  const auto share = [&](std::int64_t value) { return 100.0 * static_cast<double>(value) / whole; };
  for (const FunctionCost& cost : std::span(costs).first(std::min(costs.size(), max_functions))) {
    text += fmt::format("{:6.2f} % {:6.2f} % {:7.{}f}  {}\n", share(cost.self), share(cost.total),
                        static_cast<double>(cost.self) / measure.unit, measure.decimals,
                        DescribeFunction(*cost.function));
  }
  return text;
}

}  // namespace

std::string FormatSummary(const Profile& profile, const RunFacts& facts,
                          const SummaryStyle& style) {
  const SampleValue total = profile.Total();
  const auto line = [&](const std::string& text) {
    return text.empty() ? "" : fmt::format("{}{}\n", style.prefix, Printable(text));
  };
  std::string text = line(SampledLine(profile, facts, total)) + line(CostLine(facts));
  const Measure measure = style.measure.value != nullptr ? style.measure : MainMeasure(total);
  const auto whole = static_cast<double>(total.*measure.value);
  if (whole > 0) text += Table(profile, measure, whole, style.max_functions);
  return text + line(UnnamedLine(facts.unnamed, total.count));
}

}  // namespace agent
