// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/elf/elf_file.h"
#include "symbolizer/debug_fetcher.h"
#include "symbolizer/elf_sections.h"
#include "symbolizer/name_source.h"

namespace agent {

/// All that is known of the names of one ELF file's code: its own tables and its debug files.
/// Opened when it is made, closed when it ends.
class ModuleNames {
 public:
  /// `path`: the file, as seen in `root` (O_PATH), below which debug files are searched. What is
  /// not there is asked of `fetcher`, which may be null.
  ModuleNames(const ElfSource& elf, const std::string& path, const UniqueFd& root,
              DebugFetcher* fetcher = nullptr);

  /// False when the file itself could not be read.
  [[nodiscard]] bool readable() const { return readable_; }
  /// Whether neither the file nor a debug file of it has more than the symbols that it exports.
  [[nodiscard]] bool stripped() const { return stripped_; }
  /// Build ids of debug files that the fetcher did not have: with them there would be more names.
  [[nodiscard]] const std::vector<std::string>& awaited() const { return awaited_; }
  /// As NameSource::Find, with every level named; empty when no name is known.
  [[nodiscard]] std::vector<NamedLevel> Find(ElfAddress address);

 private:
  void AddReadable(ElfAddress address, NamedLevel& level) const;

  bool readable_ = false;
  bool stripped_ = true;
  std::vector<std::string> awaited_;
  /// Of a NativeAOT program: where its methods are, and its assembly.
  ElfRange aot_code_;
  std::string aot_assembly_;
  /// Asked in this order; a later one fills in a name that an earlier one lacks.
  std::vector<std::unique_ptr<NameSource>> sources_;
};

}  // namespace agent
