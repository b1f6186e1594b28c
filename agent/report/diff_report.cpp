// SPDX-License-Identifier: Apache-2.0
#include "agent/report/diff_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string_view>
#include <utility>

#include "agent/report/printable.h"

namespace agent {
namespace {

double Whole(const Profile& profile, const Measure& measure) {
  return static_cast<double>(profile.Total().*measure.value);
}

double Share(std::int64_t value, double whole) {
  return whole > 0 ? static_cast<double>(value) / whole : 0;
}

using Name = std::pair<std::string_view, std::string_view>;

Name NameOf(const Function& function) { return {function.name, function.file}; }

std::string Relative(const FunctionChange& change) {
  if (change.before.total == 0) return "new";
  if (change.after.total == 0) return "gone";
  if (change.self_share_before == 0) return change.self_share_after == 0 ? "" : "new self";
  return fmt::format("{:+.1f} %", 100 * (change.self_share_after / change.self_share_before - 1));
}

}  // namespace

std::vector<FunctionChange> CompareFunctions(const Profile& before, const Profile& after,
                                             const Measure& measure) {
  std::map<Name, FunctionChange> changes;
  for (const auto& [name, cost] : CostsBy(before, measure, NameOf)) changes[name].before = cost;
  for (const auto& [name, cost] : CostsBy(after, measure, NameOf)) changes[name].after = cost;
  const double whole_before = Whole(before, measure);
  const double whole_after = Whole(after, measure);
  std::vector<FunctionChange> sorted;
  for (auto& [key, change] : changes) {
    change.function =
        change.after.function != nullptr ? change.after.function : change.before.function;
    change.self_share_before = Share(change.before.self, whole_before);
    change.self_share_after = Share(change.after.self, whole_after);
    change.total_share_before = Share(change.before.total, whole_before);
    change.total_share_after = Share(change.after.total, whole_after);
    sorted.push_back(change);
  }
  std::ranges::stable_sort(sorted, std::greater(), [](const FunctionChange& change) {
    return std::pair(std::abs(change.self_share_after - change.self_share_before),
                     std::abs(change.total_share_after - change.total_share_before));
  });
  return sorted;
}

std::string FormatDiff(const Profile& before, const Profile& after, const Measure& measure,
                       std::size_t max_functions) {
  const auto amount = [&](double value) {
    return fmt::format("{:.{}f}{}", value / measure.unit, measure.decimals,
                       measure.unit == 1 ? " samples" : " s");
  };
  const double whole_before = Whole(before, measure);
  const double whole_after = Whole(after, measure);
  std::string text = fmt::format("{}: {} before, {} after", measure.name, amount(whole_before),
                                 amount(whole_after));
  if (whole_before > 0) text += fmt::format(" ({:+.1f} %)", 100 * (whole_after / whole_before - 1));
  text += "; shares are of each run's whole\n";
  text += "  before    after   change  (self)     total  function\n";
  const std::vector<FunctionChange> changes = CompareFunctions(before, after, measure);
  for (const FunctionChange& change :
       std::span(changes).first(std::min(changes.size(), max_functions))) {
    text += fmt::format(
        "{:6.2f} % {:6.2f} % {:+8.2f} {:>9}  {:+8.2f}  {}\n", 100 * change.self_share_before,
        100 * change.self_share_after, 100 * (change.self_share_after - change.self_share_before),
        Relative(change), 100 * (change.total_share_after - change.total_share_before),
        DescribeFunction(*change.function));
  }
  if (changes.size() > max_functions) {
    text += fmt::format("    and {} more functions\n", changes.size() - max_functions);
  }
  return text;
}

}  // namespace agent
