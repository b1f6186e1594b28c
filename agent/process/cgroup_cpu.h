// SPDX-License-Identifier: Apache-2.0
// A cgroup's CPU quota: how often it kept its processes off their CPUs.
// Kernel documentation: admin-guide/cgroup-v2.rst (cpu.stat), scheduler/sched-bwc.rst (version 1).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/types.h"

namespace agent {

/// Since the cgroup was made. Periods are those in which it had something to run.
struct CpuThrottling {
  std::uint64_t periods = 0;
  std::uint64_t throttled_periods = 0;
  Nanoseconds throttled{0};  ///< Summed over CPUs.
};

/// The cpu.stat of the process's cgroup, version 2 or 1; "" where there is none that we can see.
[[nodiscard]] std::string FindCpuStat(Pid pid);
/// The same from the text of /proc/PID/cgroup: where to look, best first.
[[nodiscard]] std::vector<std::string> CpuStatPlaces(std::string_view cgroup);

/// From the text of a cpu.stat. Nothing where the cgroup has no quota controller.
[[nodiscard]] std::optional<CpuThrottling> ParseCpuStat(std::string_view text);
/// Reads `path`; nothing when it is "" or has gone.
[[nodiscard]] std::optional<CpuThrottling> ReadCpuThrottling(const std::string& path);

}  // namespace agent
