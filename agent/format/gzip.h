// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace agent {

/// `data` as one gzip member (RFC 1952). Reproducible: no time, no name.
[[nodiscard]] std::string Gzip(std::string_view data);

/// What gzip members (one or several) hold. kMalformed; kLimit past `most` bytes.
[[nodiscard]] Result<std::string> Gunzip(std::string_view data, std::size_t most);

}  // namespace agent
