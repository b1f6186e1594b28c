// SPDX-License-Identifier: Apache-2.0
// Files of /proc: read whole, or kept open and read again and again.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/unique_fd.h"

namespace agent {

/// Reads a file of /proc whole; kLimit past `max_bytes`. kGone when it is not there.
[[nodiscard]] Result<std::string> ReadProcFile(const std::string& path,
                                               std::size_t max_bytes = 16u << 20);

/// The names in a directory of /proc that are numbers; empty when it cannot be read.
[[nodiscard]] std::vector<pid_t> NumbersIn(const std::string& folder);

/// A /proc file that fits one small read (stat, schedstat). Opened at the first Read and kept open,
/// since opening costs several times the read. Not for threads that are rarely read: descriptors
/// are limited.
class ProcFile {
 public:
  explicit ProcFile(std::string path) : path_(std::move(path)) {}

  /// Reads from the start into `buffer`; the view is what was read. kGone when the task has ended.
  Result<std::string_view> Read(std::span<char> buffer);
  void Close() { fd_.Reset(); }

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace agent
