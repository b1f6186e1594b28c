// SPDX-License-Identifier: Apache-2.0
#include "agent/process/cgroup_cpu.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "agent/base/parse_number.h"
#include "agent/process/proc_file.h"

namespace agent {
namespace {

constexpr std::string_view kMount = "/sys/fs/cgroup";

// "cpu,cpuacct" names the controller "cpu".
bool HasCpu(std::string_view controllers) {
  return std::ranges::any_of(std::views::split(controllers, ','), [](auto&& name) {
    return std::string_view(name.begin(), name.end()) == "cpu";
  });
}

}  // namespace

// Lines are "number:controllers:path"; version 2 has one, "0::path". In a container without a
// cgroup namespace the path is the host's, while what is mounted begins at the container's own.
std::vector<std::string> CpuStatPlaces(std::string_view cgroup) {
  std::vector<std::string> places;
  for (auto&& part : std::views::split(cgroup, '\n')) {
    std::string_view line(part.begin(), part.end());
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string_view path = line.substr(second + 1);
    if (path == "/") path = "";
    if (controllers.empty()) {
      places.push_back(fmt::format("{}{}/cpu.stat", kMount, path));
      places.push_back(fmt::format("{}/cpu.stat", kMount));
    } else if (HasCpu(controllers)) {
      places.insert(places.begin(), {fmt::format("{}/{}{}/cpu.stat", kMount, controllers, path),
                                     fmt::format("{}/cpu{}/cpu.stat", kMount, path),
                                     fmt::format("{}/{}/cpu.stat", kMount, controllers)});
    }
  }
  return places;
}

std::string FindCpuStat(Pid pid) {
  const auto cgroup = ReadProcFile(fmt::format("/proc/{}/cgroup", static_cast<pid_t>(pid)));
  if (!cgroup) return "";
  for (std::string& place : CpuStatPlaces(*cgroup)) {
    if (ReadCpuThrottling(place)) return std::move(place);
  }
  return "";
}

std::optional<CpuThrottling> ParseCpuStat(std::string_view text) {
  CpuThrottling found;
  bool has_periods = false;
  for (auto&& part : std::views::split(text, '\n')) {
    const std::string_view line(part.begin(), part.end());
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    const auto number = ParseNumber<std::uint64_t>(line.substr(space + 1));
    if (!number) continue;
    const std::string_view key = line.substr(0, space);
    if (key == "nr_periods") {
      found.periods = *number;
      has_periods = true;
    } else if (key == "nr_throttled") {
      found.throttled_periods = *number;
    } else if (key == "throttled_usec") {  // version 2
      found.throttled = std::chrono::microseconds(*number);
    } else if (key == "throttled_time") {  // version 1
      found.throttled = Nanoseconds(*number);
    }
  }
  if (!has_periods) return std::nullopt;
  return found;
}

std::optional<CpuThrottling> ReadCpuThrottling(const std::string& path) {
  if (path.empty()) return std::nullopt;
  const auto text = ReadProcFile(path, 4096);
  return text ? ParseCpuStat(*text) : std::nullopt;
}

}  // namespace agent
