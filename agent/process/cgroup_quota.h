// SPDX-License-Identifier: Apache-2.0
// How much CPU a cgroup allows (admin-guide/cgroup-v2.rst, cpu.max; scheduler/sched-bwc.rst,
// cpu.cfs_quota_us).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace agent {

/// In CPUs: 0.2 is a fifth of one's time. Reads the files beside `cpu_stat` (FindCpuStat); nothing
/// where there is no quota, or no such file.
[[nodiscard]] std::optional<double> ReadCpuQuota(const std::string& cpu_stat);

/// From "QUOTA PERIOD", the text of cpu.max; version 1 has the numbers in two files. Nothing for
/// "max" and -1.
[[nodiscard]] std::optional<double> ParseCpuQuota(std::string_view text);

}  // namespace agent
