// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "agent/profile/profile.h"
#include "agent/report/run_facts.h"

namespace agent {

/// The facts of a run as a JSON object; null for what is not known (a list: empty; losses and
/// pauses: 0). Times and CPU time are in
/// seconds, to the nanosecond. Keys stay as they are:
///   name, command (list), pid, host, system, cpus, start (RFC 3339, UTC), duration
///   runtimes: [{name, processes}]
///   samples, cpu, wall (null without --wall), cpu_not_sampled (of `cpu`, what no sample carried),
///   kernel_cpu, rate_asked, rate_achieved (samples a second)
///   losses: {torn, unreadable, stop_timeout, late_ticks, dropped, truncated, incomplete, folded}
///   unnamed: [{module, build_id, reason, addresses, samples}]
///   pauses: {count, p50, p99, max}; own: {cpu, peak_bytes}
///   throttling: {periods, throttled_periods, throttled}
[[nodiscard]] std::string FactsJson(const Profile& profile, const RunFacts& facts);

/// Its "runtimes".
[[nodiscard]] std::string RuntimesJson(std::span<const RuntimeFacts> runtimes);

/// Back again, for a report made from a file. False, and nothing changed, when `json` is something
/// else. Unnamed code is left out: its modules are not in the file.
[[nodiscard]] bool ReadFactsJson(std::string_view json, RunFacts& facts, LossCounters& losses);

}  // namespace agent
