// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "agent/elf/elf_file.h"
#include "agent/elf/go_pclntab.h"
#include "symbolizer/name_source.h"

namespace agent {

/// Go's own table of functions, which stripped programs have as well. One thread at a time.
class GoNames final : public NameSource {
 public:
  /// Null when the file is not a Go program or its table cannot be read.
  static std::unique_ptr<GoNames> Open(const ElfFile& elf);

  void Find(ElfAddress address, std::vector<NamedLevel>& chain) override;

 private:
  explicit GoNames(GoPclntab table) : table_(std::move(table)) {}

  const GoPclntab table_;
  std::vector<GoPclntab::Level> levels_;
};

}  // namespace agent
