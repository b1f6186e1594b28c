// SPDX-License-Identifier: Apache-2.0
#include "agent/format/json.h"

#include <fmt/format.h>

#include "agent/base/utf8.h"

namespace agent {

std::string JsonString(std::string_view text) {
  std::string json = "\"";
  for (const char c : IsUtf8(text) ? std::string(text) : ReplaceNonUtf8(text)) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      json += fmt::format("\\u{:04x}", c);
    } else {
      json += c;
    }
  }
  return json + '"';
}

}  // namespace agent
