// SPDX-License-Identifier: Apache-2.0
// Finding CoreCLR in a process: by its exports, never by file name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/elf/elf_file.h"
#include "agent/process/target_process.h"
#include "spies/dotnet/layout.h"
#include "spies/mapped_files.h"

namespace agent::dotnet {

struct RuntimeLocation {
  RemoteAddress base;        ///< Where the file that holds it is loaded.
  RemoteAddress dac_table;   ///< g_dacTable: where the runtime's global variables are.
  RemoteAddress descriptor;  ///< DotNetRuntimeContractDescriptor; null before .NET 9.
  std::string version;       ///< "10.0"; "": the runtime does not tell.
  unsigned build = 0;        ///< 1226 of 10.0.1226.42308; 0: the runtime does not tell.

  [[nodiscard]] unsigned Major() const;  ///< 0: the runtime does not tell.
  /// 12 of 10.0.12: the build, without the year.
  [[nodiscard]] unsigned Release() const { return build / 100; }
};

class RuntimeLocator {
 public:
  /// Nothing when no mapped file holds a runtime.
  Result<std::optional<RuntimeLocation>> Locate(TargetProcess& process);

 private:
  struct FileFacts {
    ElfAddress dac_table{};
    std::optional<ElfAddress> descriptor;
    std::string version;
    unsigned build = 0;
    std::optional<ElfFile> file;
  };
  static void Inspect(ElfFile file, FileFacts& facts);

  MappedFiles<FileFacts> files_{"dotnet"};
};

/// What CodeMap is to begin with; null: the runtime has not started.
[[nodiscard]] Result<RemoteAddress> CodeRangesOf(ProcessMemory& memory,
                                                 const RuntimeLocation& runtime,
                                                 const Layout& layout);

/// The version in a text such as "@(#)Version 10.0.1226.42308 @Commit: ...", as "10.0"; "" when it
/// is none. What follows means different things in different versions.
[[nodiscard]] std::string VersionIn(std::string_view text);
/// What follows, 1226; 0 when it is no number.
[[nodiscard]] unsigned BuildIn(std::string_view text);

}  // namespace agent::dotnet
