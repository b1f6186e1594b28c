// SPDX-License-Identifier: Apache-2.0
// A process as it stood once, in a file: as much of it as a spy looked at, and what it was to find.
// A reader so needs no process, and no runtime of that version.
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
#include "agent/base/types.h"
#include "agent/elf/elf_file.h"
#include "agent/process/thread_snapshot.h"

namespace agent::offline {

constexpr std::uint64_t kPage = 4096;
using Pages = std::map<std::uint64_t, std::array<std::byte, kPage>>;  ///< by address

/// Of a mapped file what a spy asks for.
struct FileFacts {
  struct Content {
    ElfAddress address{};
    std::vector<std::byte> bytes;
  };
  std::vector<ElfSegment> segments;
  std::map<std::string, ElfRange, std::less<>> symbols;
  std::map<std::string, ElfRange, std::less<>> sections;  ///< Those without content.
  std::map<std::string, Content, std::less<>> contents;   ///< Of the other sections.
};

struct Recording {
  struct Thread {
    InnerTid tid{};
    /// "name file:line" or, of machine code, "file+address"; leaf first.
    std::vector<std::string> frames;
    /// Of spies that want one; its registers are those of the machine that it was recorded on.
    ThreadSnapshot snapshot;
  };

  std::string runtime;  ///< Spy::Runtime
  std::vector<Thread> threads;
  std::string maps;                                                    ///< /proc/PID/maps
  std::map<std::pair<std::uint64_t, std::uint64_t>, FileFacts> files;  ///< by device and inode
  std::map<std::string, std::vector<std::byte>> root;  ///< Files that are not mapped, by path.
  Pages pages;
};

/// Gzipped text: one word and its values a line.
[[nodiscard]] std::string WriteRecording(const Recording& recording);
/// kMalformed for what WriteRecording does not write.
[[nodiscard]] Result<Recording> ReadRecording(std::string_view bytes);
/// The same of a file; kMalformed too when there is none.
[[nodiscard]] Result<Recording> ReadRecordingFile(const std::string& path);
/// Those of all files in a folder that can be read, by name.
[[nodiscard]] std::map<std::string, Recording> ReadRecordings(const std::string& folder);

}  // namespace agent::offline
