// SPDX-License-Identifier: Apache-2.0
// Where the debug information of a stripped file lies.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/unique_fd.h"
#include "agent/elf/elf_file.h"

namespace agent {

/// What .gnu_debuglink says.
struct DebugLink {
  std::string name;  ///< A file's name, without folders.
  std::uint32_t crc = 0;
};
/// Nothing where there is no such section, or its name has a folder.
[[nodiscard]] std::optional<DebugLink> ReadDebugLink(const ElfFile& file);

/// Where the debug file of a build id is when it is installed.
[[nodiscard]] std::string InstalledDebugPath(const std::string& build_id);

/// CRC-32 of a file's content, as .gnu_debuglink has it; nothing when it cannot be read or is
/// longer than 8 GiB.
[[nodiscard]] std::optional<std::uint32_t> FileCrc(const UniqueFd& file);

/// Lower-case hex digits, a possible number of them. Safe as a part of a path.
[[nodiscard]] bool IsBuildId(std::string_view text);
/// The build id of a file that may be of debug information only; "" when there is none.
[[nodiscard]] std::string BuildIdOf(const ElfFile& file);

struct DebugFile {
  std::shared_ptr<const ElfFile> elf;
  std::string path;            ///< As its root sees it.
  bool from_our_root = false;  ///< Taken from our own root, though the target has another.
  bool downloaded = false;     ///< `path` is where it would be if it was installed.
};

/// Searches below a target's root and, for files with the right build id only, below ours.
class DebugFiles {
 public:
  /// `root` (O_PATH) must live as long; when it is not valid only our own root is searched.
  explicit DebugFiles(const UniqueFd& root);

  /// Debug information of `file`, which the target knows as `path`: by build id in
  /// /usr/lib/debug/.build-id; by .gnu_debuglink beside the file, in .debug beside it, and in
  /// /usr/lib/debug with the file's folder. A file found by its link must have the same build id
  /// or, where one of the two has none, the CRC of the link.
  [[nodiscard]] std::optional<DebugFile> Find(const ElfFile& file, const std::string& path) const;
  /// The file with this build id that `link`, a path from the folder of `of`, names; else by build
  /// id.
  [[nodiscard]] std::shared_ptr<const ElfFile> FindAlt(const std::string& link,
                                                       const std::string& build_id,
                                                       const DebugFile& of) const;
  /// Whether the target's root is ours.
  [[nodiscard]] bool shares_our_root() const { return shares_our_root_; }

 private:
  struct Opened {
    UniqueFd file;
    std::shared_ptr<const ElfFile> elf;
  };
  static Opened Open(const UniqueFd& root, const std::string& path);
  std::optional<DebugFile> FindByBuildId(const std::string& build_id) const;
  std::optional<DebugFile> FindByLink(const ElfFile& file, const std::string& path,
                                      const std::string& build_id) const;

  const UniqueFd& root_;
  UniqueFd our_root_;
  bool shares_our_root_ = false;
};

}  // namespace agent
