// SPDX-License-Identifier: Apache-2.0
#include "agent/report/facts_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "agent/format/json.h"
#include "agent/report/unnamed_report.h"

namespace agent {
namespace {

std::string Seconds(Nanoseconds time) {
  const std::int64_t ns = time.count();
  return fmt::format("{}{}.{:09}", ns < 0 ? "-" : "", std::abs(ns / 1'000'000'000),
                     std::abs(ns % 1'000'000'000));
}

std::string Time(WallTime time) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(milliseconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(static_cast<std::time_t>(seconds.count())),
                     (milliseconds - seconds).count());
}

std::string NumberOrNull(double number) {
  return number > 0 ? fmt::format("{:.6g}", number) : "null";
}

std::string TextOrNull(const std::string& text) { return text.empty() ? "null" : JsonString(text); }

// A list of what `describe` makes of each.
template <typename List, typename Describe>
std::string JsonList(const List& list, Describe describe) {
  std::string json = "[";
  for (const auto& item : list) {
    if (json.size() > 1) json += ',';
    json += describe(item);
  }
  return json + ']';
}

Nanoseconds NotSampledCpu(const Profile& profile) {
  Nanoseconds cpu{0};
  for (const Profile::Entry& entry : profile.Entries()) {
    if (entry.value.count == 0) cpu += Nanoseconds(entry.value.cpu_ns);
  }
  return cpu;
}

std::string WhatJson(const Profile& profile, const RunFacts& facts) {
  return fmt::format(
      R"("name":{},"command":{},"pid":{},"host":{},"system":{},"cpus":{},"start":{},"duration":{},"runtimes":{})",
      TextOrNull(facts.name), JsonList(facts.command, JsonString),
      facts.pid == Pid{} ? "null" : fmt::format("{}", static_cast<pid_t>(facts.pid)),
      TextOrNull(facts.host), TextOrNull(facts.system),
      facts.cpus == 0 ? "null" : fmt::format("{}", facts.cpus),
      profile.start() == WallTime() ? "null" : JsonString(Time(profile.start())),
      profile.duration() == Nanoseconds(0) ? "null" : Seconds(profile.duration()),
      RuntimesJson(facts.runtimes));
}

std::string FiguresJson(const Profile& profile, const RunFacts& facts) {
  const SampleValue total = profile.Total();
  // Of a run of ours that used none it is known; of a file that has samples only it is not.
  const bool knows_cpu = total.cpu_ns > 0 || facts.own;
  const double period = static_cast<double>(profile.period().count());
  return fmt::format(
      R"("samples":{},"cpu":{},"wall":{},"cpu_not_sampled":{},"kernel_cpu":{},"rate_asked":{},"rate_achieved":{})",
      total.count, knows_cpu ? Seconds(Nanoseconds(total.cpu_ns)) : "null",
      total.wall_ns > 0 ? Seconds(Nanoseconds(total.wall_ns)) : "null",
      knows_cpu ? Seconds(NotSampledCpu(profile)) : "null",
      facts.kernel_cpu ? Seconds(*facts.kernel_cpu) : "null",
      NumberOrNull(period > 0 ? 1e9 / period : 0), NumberOrNull(facts.achieved_rate));
}

std::string LossesJson(const LossCounters& losses) {
  return fmt::format(
      R"("losses":{{"torn":{},"unreadable":{},"stop_timeout":{},"late_ticks":{},"dropped":{},"truncated":{},"incomplete":{},"folded":{}}})",
      losses.torn, losses.unreadable, losses.stop_timeout, losses.late_ticks, losses.dropped,
      losses.truncated, losses.incomplete, losses.folded);
}

std::string UnnamedJson(const RunFacts& facts) {
  return JsonList(facts.unnamed, [](const UnnamedCode& code) {
    return fmt::format(R"({{"module":{},"build_id":{},"reason":{},"addresses":{},"samples":{}}})",
                       JsonString(code.module->path), JsonString(code.module->build_id),
                       JsonString(ReasonText(code.reason)), code.addresses, code.samples);
  });
}

std::string PausesJson(const PauseFacts& pauses) {
  return fmt::format(R"({{"count":{},"p50":{},"p99":{},"max":{}}})", pauses.count,
                     Seconds(pauses.p50), Seconds(pauses.p99), Seconds(pauses.max));
}

std::string OwnJson(const std::optional<OwnCost>& own) {
  if (!own) return "null";
  return fmt::format(R"({{"cpu":{},"peak_bytes":{}}})", Seconds(own->cpu), own->peak_bytes);
}

std::string ThrottlingJson(const std::optional<ThrottleFacts>& throttling) {
  if (!throttling) return "null";
  return fmt::format(R"({{"periods":{},"throttled_periods":{},"throttled":{}}})",
                     throttling->periods, throttling->throttled_periods,
                     Seconds(throttling->throttled));
}

}  // namespace

std::string RuntimesJson(std::span<const RuntimeFacts> runtimes) {
  return JsonList(runtimes, [](const RuntimeFacts& runtime) {
    return fmt::format(R"({{"name":{},"processes":{}}})", JsonString(runtime.name),
                       runtime.processes);
  });
}

std::string FactsJson(const Profile& profile, const RunFacts& facts) {
  return fmt::format(R"({{{},{},{},"unnamed":{},"pauses":{},"own":{},"throttling":{}}})",
                     WhatJson(profile, facts), FiguresJson(profile, facts),
                     LossesJson(profile.losses()), UnnamedJson(facts), PausesJson(facts.pauses),
                     OwnJson(facts.own), ThrottlingJson(facts.throttling));
}

}  // namespace agent
