// SPDX-License-Identifier: Apache-2.0
// A process as it stood once, in a file: as much of it as a spy looked at, and what it was to find.
// A reader so needs no process, and no interpreter of that version.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/elf_file.h"
#include "agent/process/target_process.h"

namespace agent::offline {

constexpr std::uint64_t kPage = 4096;
using Pages = std::map<std::uint64_t, std::array<std::byte, kPage>>;  ///< by address

/// Of a mapped ELF file what tells where its variables lie.
struct FileFacts {
  std::vector<ElfSegment> segments;
  std::map<std::string, ElfRange, std::less<>> symbols;
  std::map<std::string, ElfRange, std::less<>> sections;
};

struct Recording {
  struct Thread {
    InnerTid tid{};
    std::vector<std::string> frames;  ///< "name file:line", leaf first, as the program told.
  };

  std::string runtime;  ///< Spy::Runtime
  std::vector<Thread> threads;
  std::string maps;                                                    ///< /proc/PID/maps
  std::map<std::pair<std::uint64_t, std::uint64_t>, FileFacts> files;  ///< by device and inode
  Pages pages;
};

/// Gzipped text: one word and its values a line.
[[nodiscard]] std::string WriteRecording(const Recording& recording);
/// kMalformed for what WriteRecording does not write.
[[nodiscard]] Result<Recording> ReadRecording(std::string_view bytes);
/// The same of a file; kMalformed too when there is none.
[[nodiscard]] Result<Recording> ReadRecordingFile(const std::string& path);

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

  [[nodiscard]] Pid pid() const override { return Pid{1}; }
  [[nodiscard]] ProcessMemory& memory() override { return memory_; }
  Result<std::vector<Mapping>> ReadMappings() override;
  /// A file that has nothing but the facts.
  Result<UniqueFd> OpenMappedFile(const Mapping& mapping) override;
  [[nodiscard]] bool IsStillMapped(const Mapping&) override { return true; }
  Result<UniqueFd> OpenRoot() override { return Fail(Errc::kUnreadable, "no root"); }

 private:
  const Recording& recording_;
  RecordedMemory memory_;
};

}  // namespace agent::offline
