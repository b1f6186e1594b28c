// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace agent {

/// `data` as one gzip member (RFC 1952). Reproducible: no time, no name.
[[nodiscard]] std::string Gzip(std::string_view data);

}  // namespace agent
