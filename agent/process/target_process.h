// SPDX-License-Identifier: Apache-2.0
// A process that a spy looks at: live, or recorded in a file for tests.
#pragma once

#include <memory>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "agent/process/mappings.h"
#include "agent/process/memory.h"

namespace agent {

/// Used by the sampling thread only. Spies never stop a process: they look through this.
class TargetProcess {
 public:
  virtual ~TargetProcess() = default;

  [[nodiscard]] virtual Pid pid() const = 0;
  [[nodiscard]] virtual ProcessMemory& memory() = 0;
  /// The mappings as they are now.
  virtual Result<std::vector<Mapping>> ReadMappings() = 0;
  /// Opens the file behind a file-backed mapping, read-only. The file belongs to the target's
  /// world: it is opened below /proc/PID/root without following links out of it, is a regular file,
  /// and has the mapping's device and inode (else kUnreadable: deleted or replaced since). Its
  /// content may change while it is read: use pread, not mmap.
  virtual Result<UniqueFd> OpenMappedFile(const Mapping& mapping) = 0;
  /// Whether just this range still maps just this file. One readlink: 2 us.
  [[nodiscard]] virtual bool IsStillMapped(const Mapping& mapping) = 0;
  /// Its root directory, O_PATH.
  virtual Result<UniqueFd> OpenRoot() = 0;
};

}  // namespace agent
