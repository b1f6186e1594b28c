// SPDX-License-Identifier: Apache-2.0
// Finding CoreCLR in a process: by its exports, never by file name.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "agent/base/error.h"
#include "agent/elf/elf_file.h"
#include "agent/process/target_process.h"

namespace agent::dotnet {

struct RuntimeLocation {
  RemoteAddress dac_table;  ///< g_dacTable: pointers to the runtime's global variables.
  unsigned major = 0;       ///< 0: the runtime does not tell.
  std::string version;      ///< "10.0"; as the runtime has it, may be "".
};

/// What a file holds is remembered by device and inode, so that the processes of one image share
/// the work.
class RuntimeLocator {
 public:
  /// Nothing when no mapped file holds a runtime.
  Result<std::optional<RuntimeLocation>> Locate(TargetProcess& process);

 private:
  struct FileFacts {
    ElfAddress dac_table{};
    unsigned major = 0;
    std::string version;
    std::optional<ElfFile> file;  ///< Kept open for its segments; none: no runtime.
  };
  const FileFacts& Inspect(TargetProcess& process, const Mapping& mapping);

  std::map<std::pair<std::uint64_t, std::uint64_t>, FileFacts> files_;
};

/// The version in a text such as "@(#)Version 10.0.1226.42308 @Commit: ...", as "10.0"; "" when it
/// is none. What follows means different things in different versions.
[[nodiscard]] std::string VersionIn(std::string_view text);

}  // namespace agent::dotnet
