// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace agent {

struct ListenAddress {
  std::string host;  ///< A name or an address, IPv6 without brackets.
  int port = 0;      ///< 0: any.
};

/// "[HOST]:PORT" or "PORT"; without a host it is 127.0.0.1: who else may look is the user's choice.
[[nodiscard]] Result<ListenAddress> ParseListenAddress(std::string_view text);

}  // namespace agent
