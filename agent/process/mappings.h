// SPDX-License-Identifier: Apache-2.0
// /proc/PID/maps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/types.h"

namespace agent {

struct Mapping {
  RemoteAddress start;
  RemoteAddress end;  ///< First address behind it.
  bool readable = false;
  bool writable = false;
  bool executable = false;
  FileOffset offset{};
  std::uint64_t device = 0;  ///< major << 32 | minor; 0 for anonymous memory.
  std::uint64_t inode = 0;   ///< 0 for anonymous memory.
  std::string
      path;  ///< As in maps, octal escapes undone, without " (deleted)"; "" or "[heap]" etc. else.
  bool deleted = false;

  [[nodiscard]] bool Contains(RemoteAddress address) const {
    return address >= start && address < end;
  }
};

/// Parses the text of /proc/PID/maps. Lines that do not have its form are passed over.
[[nodiscard]] std::vector<Mapping> ParseMappings(std::string_view text);

}  // namespace agent
