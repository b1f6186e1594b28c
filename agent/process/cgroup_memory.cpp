// SPDX-License-Identifier: Apache-2.0
#include "agent/process/cgroup_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "agent/base/parse_number.h"
#include "agent/process/proc_file.h"

namespace agent {
namespace {

constexpr std::string_view kMount = "/sys/fs/cgroup";
// Version 1 writes "no limit" as the largest multiple of a page that fits.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

// The path and all above it, the mount's root last: in a container without a cgroup namespace the
// path is the host's, and only the root is there.
void AddPlaces(std::string_view mount, std::string_view path, std::string_view file,
               std::vector<std::string>& places) {
  while (path.ends_with('/')) path.remove_suffix(1);
  while (true) {
    places.push_back(fmt::format("{}{}/{}", mount, path, file));
    if (path.empty()) return;
    path = path.substr(0, path.rfind('/'));
  }
}

}  // namespace

std::vector<std::string> MemoryLimitPlaces(std::string_view cgroup) {
  std::vector<std::string> places;
  for (auto&& part : std::views::split(cgroup, '\n')) {
    const std::string_view line(part.begin(), part.end());
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (controllers.empty()) AddPlaces(kMount, path, "memory.max", places);
    if (controllers == "memory") {
      AddPlaces(fmt::format("{}/memory", kMount), path, "memory.limit_in_bytes", places);
    }
  }
  return places;
}

std::optional<std::uint64_t> ParseMemoryLimit(std::string_view text) {
  const auto bytes = ParseNumber<std::uint64_t>(text.substr(0, text.find('\n')));
  return bytes && *bytes < kNoLimit ? bytes : std::nullopt;
}

std::optional<std::uint64_t> ReadMemoryLimit() {
  const auto cgroup = ReadProcFile("/proc/self/cgroup");
  if (!cgroup) return std::nullopt;
  std::optional<std::uint64_t> lowest;
  for (const std::string& place : MemoryLimitPlaces(*cgroup)) {
    const auto text = ReadProcFile(place);
    const std::optional<std::uint64_t> limit = text ? ParseMemoryLimit(*text) : std::nullopt;
    if (limit) lowest = std::min(lowest.value_or(*limit), *limit);
  }
  return lowest;
}

}  // namespace agent
