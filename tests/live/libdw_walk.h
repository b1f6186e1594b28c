// SPDX-License-Identifier: Apache-2.0
// libdw's own walk over a snapshot, to compare with.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "agent/process/thread_snapshot.h"

namespace agent::live {

struct OtherFrame {
  std::uint64_t pc = 0;
  bool is_exact = false;  ///< The instruction itself, not a return address.
};

/// For the mappings that the process has when this is made.
class LibdwWalk {
 public:
  LibdwWalk(Pid pid, ProcessMemory& memory);
  ~LibdwWalk();
  LibdwWalk(const LibdwWalk&) = delete;
  LibdwWalk& operator=(const LibdwWalk&) = delete;

  std::vector<OtherFrame> Walk(const ThreadSnapshot& snapshot);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace agent::live
