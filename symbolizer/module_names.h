// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/unique_fd.h"
#include "agent/elf/elf_file.h"
#include "symbolizer/name_source.h"

namespace agent {

/// All that is known of the names of one ELF file's code: its own tables and its debug files.
/// Opened when it is made, closed when it ends.
class ModuleNames {
 public:
  /// `path`: the file, as seen in `root` (O_PATH), below which debug files are searched.
  ModuleNames(const ElfSource& elf, const std::string& path, const UniqueFd& root);

  /// False when the file itself could not be read.
  [[nodiscard]] bool readable() const { return readable_; }
  /// Whether neither the file nor a debug file of it has more than the symbols that it exports.
  [[nodiscard]] bool stripped() const { return stripped_; }
  /// As NameSource::Find, with every level named; empty when no name is known.
  [[nodiscard]] std::vector<NamedLevel> Find(ElfAddress address);

 private:
  bool readable_ = false;
  bool stripped_ = true;
  /// Asked in this order; a later one fills in a name that an earlier one lacks.
  std::vector<std::unique_ptr<NameSource>> sources_;
};

}  // namespace agent
