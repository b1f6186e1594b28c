// SPDX-License-Identifier: Apache-2.0
// Opening files of a target's world without being led out of it.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/base/unique_fd.h"

namespace agent {

/// Opens a regular file read-only, `path` taken as seen from the directory `root`: symbolic links
/// and ".." do not lead out of it (openat2 with RESOLVE_IN_ROOT; where the kernel or a seccomp
/// filter has no openat2, a walk by component that refuses links). Never blocks on a FIFO or opens
/// a device: kMalformed for those.
[[nodiscard]] Result<UniqueFd> OpenInRoot(const UniqueFd& root, const std::string& path);

/// What `path` names, whatever it is, as an O_PATH descriptor; the path is taken as in OpenInRoot.
[[nodiscard]] Result<UniqueFd> FindInRoot(const UniqueFd& root, const std::string& path);

/// The regular file that an O_PATH descriptor names, opened for reading.
[[nodiscard]] Result<UniqueFd> ReopenRegular(const UniqueFd& path_fd);

}  // namespace agent
