// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/elf/elf_file.h"
#include "symbolizer/elf_sections.h"
#include "symbolizer/name_source.h"

namespace agent {

/// What .gnu_debugaltlink says: where dwz has put the parts that several files have in common.
struct AltLink {
  std::string path;
  std::string build_id;  ///< Lower-case hex.
};
[[nodiscard]] std::optional<AltLink> ReadAltLink(const ElfFile& file);

/// Whether a file has DWARF of functions and lines that may be read: decompressed at most 2 GiB.
[[nodiscard]] bool HasDwarf(const ElfFile& file);

/// Names, lines and inlined calls from a file's DWARF (2 to 5, gcc, clang, rustc, go). Reads units
/// as they are asked for; libdw is no more than the decoder.
class DwarfNames : public NameSource {
 public:
  /// `alt` is what the file's AltLink names; a file that has one is not read without it. Both are
  /// kept. `code`: where the module has code. `split_folder`: the folder of `file`, for .dwo and
  /// .dwp files, if libdw may open them by the names that the file says; nothing: it may not.
  /// Null when there is no DWARF.
  static std::unique_ptr<DwarfNames> Open(std::shared_ptr<const ElfFile> file,
                                          std::shared_ptr<const ElfFile> alt, CodeRanges code,
                                          std::optional<std::string> split_folder);
  ~DwarfNames() override;

  void Find(ElfAddress address, std::vector<NamedLevel>& chain) override;

 private:
  class Impl;
  explicit DwarfNames(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace agent
