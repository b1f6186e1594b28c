// SPDX-License-Identifier: Apache-2.0
#include "agent/report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace agent {
namespace {

constexpr std::size_t kMaxName = 60;

struct Cost {
  const Function* function = nullptr;
  std::int64_t self = 0;
  std::int64_t total = 0;
};

std::vector<Cost> CostsByFunction(const Profile& profile) {
  std::unordered_map<const Function*, Cost> costs;
  std::unordered_set<const Function*> seen;
  for (const Profile::Entry& entry : profile.Entries()) {
    const std::span<const Frame> frames = profile.StackFrames(entry.key.stack);
    seen.clear();
    for (const Frame& frame : frames) {
      Cost& cost = costs[frame.function];
      cost.function = frame.function;
      if (seen.empty()) cost.self += entry.value.cpu_ns;
      if (seen.insert(frame.function).second) cost.total += entry.value.cpu_ns;
    }
  }
  std::vector<Cost> sorted;
  for (const auto& [function, cost] : costs) sorted.push_back(cost);
  std::ranges::sort(sorted, [](const Cost& a, const Cost& b) {
    if (a.self != b.self) return a.self > b.self;
    if (a.total != b.total) return a.total > b.total;
    return a.function->name < b.function->name;
  });
  return sorted;
}

// Control characters of a hostile name must not reach the terminal; the end of a long one tells
// more than its start.
std::string Shown(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    text.push_back(byte < 0x20 || byte == 0x7f ? '?' : c);
  }
  if (text.size() <= kMaxName) return text;
  std::size_t cut = text.size() - kMaxName;
  while (cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) ++cut;
  return "…" + text.substr(cut);
}

}  // namespace

std::string FormatSummary(const Profile& profile, std::size_t max_functions) {
  const SampleValue total = profile.Total();
  const double seconds = static_cast<double>(profile.duration().count()) / 1e9;
  const double cpu = static_cast<double>(total.cpu_ns) / 1e9;
  std::string text =
      fmt::format("agent: {} samples, {:.2f} s of CPU in {:.2f} s", total.count, cpu, seconds);
  const LossCounters& losses = profile.losses();
  if (losses.LostSamples() > 0) text += fmt::format(", {} samples lost", losses.LostSamples());
  if (losses.truncated > 0) text += fmt::format(", {} stacks cut", losses.truncated);
  text += "\n";
  if (total.cpu_ns <= 0) return text;
  text += "    self    total   CPU s  function\n";
  const std::vector<Cost> costs = CostsByFunction(profile);
  const auto share = [&](std::int64_t ns) {
    return 100.0 * static_cast<double>(ns) / static_cast<double>(total.cpu_ns);
  };
  for (const Cost& cost : std::span(costs).first(std::min(costs.size(), max_functions))) {
    text += fmt::format("{:6.2f} % {:6.2f} % {:7.2f}  {}", share(cost.self), share(cost.total),
                        static_cast<double>(cost.self) / 1e9, Shown(cost.function->name));
    if (!cost.function->file.empty()) {
      text += fmt::format(" ({}:{})", Shown(cost.function->file), cost.function->start_line);
    }
    text += "\n";
  }
  if (costs.size() > max_functions) {
    text += fmt::format("    and {} more functions\n", costs.size() - max_functions);
  }
  return text;
}

}  // namespace agent
