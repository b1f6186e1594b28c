// SPDX-License-Identifier: Apache-2.0
// A profile's file: the name's ending says the format, and how it is written.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace agent {

enum class FileFormat { kPprof, kFolded, kHtml };

/// .pb.gz and .pprof: gzipped pprof with sample labels; .folded and .collapsed: collapsed stacks;
/// .html: a page. kInvalid else.
[[nodiscard]] Result<FileFormat> ProfileFileFormat(const std::string& path);

/// Whether WriteProfileFile could write there now. Leaves an existing file as it is.
[[nodiscard]] Result<void> CheckProfileFile(const std::string& path);

/// Writes beside it and renames, so that a reader never sees half a profile. Written to directly is
/// what is not a regular file (a pipe, /dev/null), and an existing file that cannot be replaced: a
/// mount point (`docker -v /host/file:/file`), or one in a folder where we may not create files.
[[nodiscard]] Result<void> WriteProfileFile(const std::string& path, std::string_view content);

}  // namespace agent
