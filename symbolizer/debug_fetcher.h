// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/elf/elf_file.h"

namespace agent {

/// Debug files that are not on this machine, brought in their own time. For the thread that calls
/// Symbolizer::Name; never waits for the network.
class DebugFetcher {
 public:
  virtual ~DebugFetcher() = default;
  /// The debug file with this build id (lower-case hex); null when it is not here. The first such
  /// question asks for it.
  virtual std::shared_ptr<const ElfFile> Find(const std::string& build_id) = 0;
  /// The build ids of what has come since the last call.
  virtual std::vector<std::string> TakeArrived() = 0;
};

}  // namespace agent
