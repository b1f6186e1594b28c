// SPDX-License-Identifier: Apache-2.0
#include "agent/report/loss_report.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "agent/base/counted.h"

namespace agent {
namespace {

// A busy machine costs every run a tick now and then; past this share it shows in the profile.
constexpr std::uint64_t kSamplesPerLateTick = 20;

std::string Causes(const LossCounters& losses) {
  const std::pair<std::uint64_t, std::string_view> causes[] = {
      {losses.torn, "torn"},
      {losses.unreadable, "unreadable"},
      {losses.stop_timeout, "not stopped in time"},
      {losses.dropped, "not named in time"}};
  std::string text;
  for (const auto& [count, cause] : causes) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, cause);
  }
  return text;
}

}  // namespace

std::vector<std::string> LossLines(const LossCounters& losses, std::int64_t samples) {
  std::vector<std::string> lines;
  if (const std::uint64_t lost = losses.LostSamples(); lost > 0) {
    lines.push_back(fmt::format("{} lost, {} {} kept: {}", CountedWere(lost, "sample"), samples,
                                samples == 1 ? "was" : "were", Causes(losses)));
  }
  if (losses.late_ticks * kSamplesPerLateTick > static_cast<std::uint64_t>(samples)) {
    lines.push_back(fmt::format("{} left out: the machine is too busy for this sample rate",
                                CountedWere(losses.late_ticks, "tick")));
  }
  if (losses.folded > 0) {
    lines.push_back(
        fmt::format("{} shown as \"[other stacks]\": the profile was full",
                    losses.folded == 1 ? "1 stack is" : Counted(losses.folded, "stack") + " are"));
  }
  return lines;
}

}  // namespace agent
