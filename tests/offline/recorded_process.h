// SPDX-License-Identifier: Apache-2.0
// A recording as a process that a spy looks at.
#pragma once

#include <string>

#include "agent/process/target_process.h"
#include "tests/offline/recording.h"

namespace agent::offline {

/// What is not in `pages` is not mapped. The recording outlives it.
class RecordedMemory final : public ProcessMemory {
 public:
  explicit RecordedMemory(const Pages& pages) : pages_(pages) {}
  Result<void> ReadRanges(std::span<const ReadRange> ranges) override;
  Result<std::size_t> ReadSome(RemoteAddress address, std::span<std::byte> destination) override;

 private:
  std::size_t Copy(RemoteAddress address, std::span<std::byte> destination) const;

  const Pages& pages_;
};

class RecordedProcess final : public TargetProcess {
 public:
  explicit RecordedProcess(const Recording& recording)
      : recording_(recording), memory_(recording.pages) {}
  ~RecordedProcess() override;
  RecordedProcess(const RecordedProcess&) = delete;
  RecordedProcess& operator=(const RecordedProcess&) = delete;

  [[nodiscard]] Pid pid() const override { return Pid{1}; }
  [[nodiscard]] ProcessMemory& memory() override { return memory_; }
  Result<std::vector<Mapping>> ReadMappings() override;
  /// A file that has nothing but the facts.
  Result<UniqueFd> OpenMappedFile(const Mapping& mapping) override;
  [[nodiscard]] bool IsStillMapped(const Mapping&) override { return true; }
  /// A folder of this object's own.
  Result<UniqueFd> OpenRoot() override;

 private:
  Result<void> MakeRoot();

  const Recording& recording_;
  RecordedMemory memory_;
  std::string root_;  // made when it is asked for first
};

}  // namespace agent::offline
