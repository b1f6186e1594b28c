// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace agent {

/// `text` as a JSON string (RFC 8259), quotes included. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string JsonString(std::string_view text);

}  // namespace agent
