// SPDX-License-Identifier: Apache-2.0
// A profile in a file; the name's ending says the format.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/profile/profile.h"

namespace agent {

enum class FileFormat { kPprof, kFolded };

/// .pb.gz and .pprof: gzipped pprof with sample labels; .folded and .collapsed: collapsed stacks.
/// kInvalid else.
[[nodiscard]] Result<FileFormat> ProfileFileFormat(const std::string& path);

/// Whether WriteProfileFile could write there now. Leaves an existing file as it is.
[[nodiscard]] Result<void> CheckProfileFile(const std::string& path);

/// Writes beside it and renames, so that a reader never sees half a profile. Written to directly is
/// what is not a regular file (a pipe, /dev/null), and an existing file that cannot be replaced: a
/// mount point (`docker -v /host/file:/file`), or one in a folder where we may not create files.
[[nodiscard]] Result<void> WriteProfileFile(const std::string& path, const Profile& profile);

}  // namespace agent
