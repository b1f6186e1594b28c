// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace agent {

/// Whether a byte of well-formed UTF-8 goes on with the character before it.
[[nodiscard]] inline bool IsContinuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}
/// Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates.
[[nodiscard]] bool IsUtf8(std::string_view text);
/// `text` with every byte that is not part of well-formed UTF-8 as U+FFFD.
[[nodiscard]] std::string ReplaceNonUtf8(std::string_view text);

}  // namespace agent
