// SPDX-License-Identifier: Apache-2.0
// What a spy knows of the files that code is mapped from, so that the processes of one image share
// the work.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/error.h"
#include "agent/base/log.h"
#include "agent/elf/elf_file.h"
#include "agent/process/target_process.h"

namespace agent {

/// By device and inode. `Facts` begin as those of a file that is of no interest; one that holds the
/// runtime is kept open in their member `file` (std::optional<ElfFile>), for its segments. Sampling
/// thread only.
template <typename Facts>
class MappedFiles {
 public:
  /// `spy`: its name, for the log.
  explicit MappedFiles(std::string_view spy) : spy_(spy) {}

  /// What the file behind a mapping holds. `inspect(ElfFile, Facts&)` looks at one that is new; a
  /// file that cannot be opened now is asked for again the next time. Valid until the next call.
  template <typename Inspect>
  Facts& Of(TargetProcess& process, const Mapping& mapping, Inspect inspect) {
    // Bounds what a program that maps ever new files makes us keep.
    if (files_.size() > kMaxFiles) {
      std::erase_if(files_, [](const auto& entry) { return !entry.second.file; });
    }
    const std::pair key{mapping.device, mapping.inode};
    if (const auto known = files_.find(key); known != files_.end()) return known->second;
    Result<UniqueFd> fd = process.OpenMappedFile(mapping);
    if (!fd) {
      LogDebug("{}: {} is passed over: {}", spy_, mapping.path, fd.error().Message());
      return none_ = Facts();
    }
    Facts& facts = files_[key];
    if (Result<ElfFile> file = ElfFile::Open(*std::move(fd))) inspect(*std::move(file), facts);
    return facts;
  }

 private:
  static constexpr std::size_t kMaxFiles = 4096;

  std::string_view spy_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Facts> files_;
  Facts none_;
};

/// Of an executable mapping of `file`: addresses in the process minus the file's. Nothing without a
/// file, and where no code of it lies there.
[[nodiscard]] inline std::optional<std::uint64_t> BiasOf(const std::optional<ElfFile>& file,
                                                         const Mapping& mapping) {
  const auto mapped = file ? file->CodeAddressOf(mapping.offset) : std::nullopt;
  if (!mapped) return std::nullopt;
  return mapping.start.value() - static_cast<std::uint64_t>(*mapped);
}

}  // namespace agent
