// SPDX-License-Identifier: Apache-2.0
#include "agent/base/printable.h"

#include <fmt/format.h>

#include <iterator>

#include "agent/base/utf8.h"

namespace agent {

std::string Printable(std::string_view text) {
  const std::string repaired = ReplaceNonUtf8(text);
  std::string result;
  for (std::size_t i = 0; i < repaired.size(); ++i) {
    auto character = static_cast<unsigned char>(repaired[i]);
    const auto next = i + 1 < repaired.size() ? static_cast<unsigned char>(repaired[i + 1]) : 0;
    const bool is_c1 = character == 0xc2 && next < 0xa0;
    if (is_c1) character = static_cast<unsigned char>(repaired[++i]);
    if (character < 0x20 || character == 0x7f || is_c1) {
      fmt::format_to(std::back_inserter(result), "\\x{:02x}", character);
    } else {
      result.push_back(repaired[i]);
    }
  }
  return result;
}

}  // namespace agent
