// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/process/target_process.h"

namespace agent {

/// A process of this machine. Keeps nothing open but what LiveMemory does; cheap to make.
class LiveProcess final : public TargetProcess {
 public:
  explicit LiveProcess(Pid pid) : pid_(pid), task_(pid), memory_(pid) {}

  [[nodiscard]] Pid pid() const override { return pid_; }
  [[nodiscard]] ProcessMemory& memory() override { return memory_; }
  Result<std::vector<Mapping>> ReadMappings() override;
  Result<UniqueFd> OpenMappedFile(const Mapping& mapping) override;
  [[nodiscard]] bool IsStillMapped(const Mapping& mapping) override;
  Result<UniqueFd> OpenRoot() override;

 private:
  Pid pid_;
  MemoryTask task_;
  LiveMemory memory_;
};

}  // namespace agent
