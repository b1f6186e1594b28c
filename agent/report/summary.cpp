// SPDX-License-Identifier: Apache-2.0
#include "agent/report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "agent/base/utf8.h"
#include "agent/report/unnamed_report.h"

namespace agent {
namespace {

// With the figures in front a line has at most 110 columns or so.
constexpr std::size_t kMaxName = 40;
constexpr std::size_t kMaxFile = 36;

struct Cost {
  const Function* function = nullptr;
  std::int64_t self = 0;
  std::int64_t total = 0;
};

// By CPU time, or by wall time where the profile has it.
std::vector<Cost> CostsByFunction(const Profile& profile, std::int64_t SampleValue::* time) {
  std::unordered_map<const Function*, Cost> costs;
  std::unordered_set<const Function*> seen;
  for (const Profile::Entry& entry : profile.Entries()) {
    const std::span<const Frame> frames = profile.StackFrames(entry.key.stack);
    seen.clear();
    for (const Frame& frame : frames) {
      Cost& cost = costs[frame.function];
      cost.function = frame.function;
      if (seen.empty()) cost.self += entry.value.*time;
      if (seen.insert(frame.function).second) cost.total += entry.value.*time;
    }
  }
  std::vector<Cost> sorted;
  sorted.reserve(costs.size());
  for (const auto& [function, cost] : costs) sorted.push_back(cost);
  std::ranges::sort(sorted, [](const Cost& a, const Cost& b) {
    if (a.self != b.self) return a.self > b.self;
    if (a.total != b.total) return a.total > b.total;
    return a.function->name < b.function->name;
  });
  return sorted;
}

// Control characters of a hostile name must not reach the terminal: C0, DEL and C1 (U+0080 to
// U+009F, of which some terminals take U+009B as the start of a command).
std::string Printable(std::string_view name) {
  std::string text;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    const auto next = i + 1 < name.size() ? static_cast<unsigned char>(name[i + 1]) : 0;
    const bool is_c1 = byte == 0xc2 && next < 0xa0;
    text.push_back(byte < 0x20 || byte == 0x7f || is_c1 ? '?' : name[i]);
    if (is_c1) ++i;
  }
  return text;
}

// The last `width` characters, with a mark if there were more: the end of a long name tells more
// than its start.
std::string Fitted(std::string_view name, std::size_t width) {
  std::string text = Printable(name);
  auto characters = static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return !IsContinuation(c); }));
  if (characters <= width) return text;
  std::size_t cut = 0;
  for (; cut < text.size(); ++cut) {
    if (IsContinuation(text[cut])) continue;
    if (characters < width) break;
    --characters;
  }
  return "…" + text.substr(cut);
}

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
  const auto time = total.wall_ns > 0 ? &SampleValue::wall_ns : &SampleValue::cpu_ns;
  if (total.*time <= 0) return text;
  text += total.wall_ns > 0 ? "    self    total  wall s  function\n"
                            : "    self    total   CPU s  function\n";
  const std::vector<Cost> costs = CostsByFunction(profile, time);
  const auto share = [&](std::int64_t ns) {
    return 100.0 * static_cast<double>(ns) / static_cast<double>(total.*time);
  };
  for (const Cost& cost : std::span(costs).first(std::min(costs.size(), max_functions))) {
    text +=
        fmt::format("{:6.2f} % {:6.2f} % {:7.2f}  {}", share(cost.self), share(cost.total),
                    static_cast<double>(cost.self) / 1e9, Fitted(cost.function->name, kMaxName));
    if (!cost.function->file.empty()) {
      text +=
          fmt::format(" ({}:{})", Fitted(cost.function->file, kMaxFile), cost.function->start_line);
    }
    text += "\n";
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
