// SPDX-License-Identifier: Apache-2.0
// How much memory our cgroup allows (admin-guide/cgroup-v2.rst, memory.max; cgroup-v1/memory.rst,
// memory.limit_in_bytes).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

/// The lowest limit that can be seen, in bytes; nothing where there is none.
[[nodiscard]] std::optional<std::uint64_t> ReadMemoryLimit();

/// From the text of /proc/PID/cgroup: the files that may hold a limit, of the cgroup itself and of
/// those that it lies in.
[[nodiscard]] std::vector<std::string> MemoryLimitPlaces(std::string_view cgroup);
/// From the text of such a file; nothing for "max" and for version 1's "no limit".
[[nodiscard]] std::optional<std::uint64_t> ParseMemoryLimit(std::string_view text);

}  // namespace agent
