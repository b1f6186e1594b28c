// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace agent {

/// A window that had to be sent in parts counts once for each part.
struct UploadCounters {
  std::uint64_t windows_sent = 0;
  std::uint64_t windows_retried = 0;  ///< Tries after the first one.
  std::uint64_t windows_lost =
      0;  ///< Refused for good, pushed out of the full queue, too old, or unsent at the end.
  std::uint64_t samples_sent = 0;
  std::uint64_t samples_lost = 0;
  std::string last_error;  ///< Of the last failed try; "" if none failed.
};

}  // namespace agent
