// SPDX-License-Identifier: Apache-2.0
#include "agent/process/cgroup_quota.h"

#include <algorithm>
#include <cstdint>

#include "agent/base/parse_number.h"
#include "agent/process/proc_file.h"

namespace agent {

std::optional<double> ParseCpuQuota(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto quota = ParseNumber<std::int64_t>(text.substr(0, space));
  text.remove_prefix(space + 1);
  const auto period = ParseNumber<std::int64_t>(text.substr(0, text.find('\n')));
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<double> ReadCpuQuota(const std::string& cpu_stat) {
  const std::string folder = cpu_stat.substr(0, cpu_stat.rfind('/') + 1);
  if (folder.empty()) return std::nullopt;
  if (const auto both = ReadProcFile(folder + "cpu.max")) return ParseCpuQuota(*both);
  const auto quota = ReadProcFile(folder + "cpu.cfs_quota_us");
  const auto period = ReadProcFile(folder + "cpu.cfs_period_us");
  if (!quota || !period) return std::nullopt;
  return ParseCpuQuota(quota->substr(0, quota->find('\n')) + " " + *period);
}

}  // namespace agent
