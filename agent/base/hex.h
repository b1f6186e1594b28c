// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace agent {

/// Two lower-case digits a byte.
[[nodiscard]] inline std::string ToHex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text.push_back("0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back("0123456789abcdef"[std::to_integer<unsigned>(byte) & 15]);
  }
  return text;
}

}  // namespace agent
