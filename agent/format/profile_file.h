// SPDX-License-Identifier: Apache-2.0
// A profile's file: the name's ending says the format, and how it is written.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace agent {

enum class FileFormat {
  kHtml,        ///< .html: a page.
  kPprof,       ///< .pb.gz, .pprof: gzipped pprof with sample labels.
  kFolded,      ///< .folded, .collapsed: collapsed stacks.
  kSpeedscope,  ///< .speedscope.json
  kGecko,       ///< .gecko.json: for the Firefox Profiler.
  kSvg,         ///< .svg: a picture.
  kJson,        ///< .json: the summary.
};

/// By the name's ending. kInvalid, with a text that lists them, for others.
[[nodiscard]] Result<FileFormat> ProfileFileFormat(const std::string& path);
/// "html", "pprof", "collapsed", "speedscope", "gecko", "svg", "json". kInvalid for others.
[[nodiscard]] Result<FileFormat> ParseFileFormat(std::string_view name);

/// Whether WriteProfileFile could write there now. Leaves an existing file as it is.
[[nodiscard]] Result<void> CheckProfileFile(const std::string& path);

/// Writes beside it and renames, so that a reader never sees half a profile. Written to directly is
/// what is not a regular file (a pipe, /dev/null), and an existing file that cannot be replaced: a
/// mount point (`docker -v /host/file:/file`), or one in a folder where we may not create files.
[[nodiscard]] Result<void> WriteProfileFile(const std::string& path, std::string_view content);

}  // namespace agent
