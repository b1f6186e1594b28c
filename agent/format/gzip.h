// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace agent {

/// `data` as one gzip member (RFC 1952). Reproducible: no time, no name.
[[nodiscard]] std::string Gzip(std::string_view data);

/// What `data` (one or more gzip members) holds. kMalformed when it is no gzip, or ends early;
/// kLimit past `max_bytes`.
[[nodiscard]] Result<std::string> Gunzip(std::string_view data, std::size_t max_bytes);

}  // namespace agent
