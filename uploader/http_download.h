// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "uploader/server_address.h"

namespace agent {

struct DownloadReply {
  int status = 0;       ///< Of HTTP; 0: there was no whole answer, and `trouble` says why.
  std::string trouble;  ///< Without the address.
};

/// GET of `path` below `address`. Gives the body of a 200 to `sink` piece by piece, until that
/// returns false. Takes `limit` at most, but for the name look-up and a server that drips its
/// headers. Follows redirections, unless the address has a password. Never throws. PrepareHttp must
/// have been called.
[[nodiscard]] DownloadReply HttpDownload(const ServerAddress& address, const std::string& path,
                                         const std::function<bool(std::string_view)>& sink,
                                         Nanoseconds limit);

}  // namespace agent
