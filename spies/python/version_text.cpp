// SPDX-License-Identifier: Apache-2.0
#include "spies/python/version_text.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

namespace agent::python {

std::optional<Version> FindVersionText(ProcessMemory& memory, Version minor, RemoteAddress start,
                                       std::uint64_t size) {
  constexpr std::uint64_t kMaxSize = 4u << 20;
  constexpr std::uint32_t kFinal = 0xf0;
  std::string bytes(std::min(size, kMaxSize), '\0');
  const Result<std::size_t> read = memory.ReadSome(start, std::as_writable_bytes(std::span(bytes)));
  if (!read) return std::nullopt;
  const std::string_view text(bytes.data(), *read);
  const std::string begin =
      std::to_string(minor.major()) + "." + std::to_string(minor.minor()) + ".";
  for (auto at = text.find(begin); at != text.npos; at = text.find(begin, at + 1)) {
    const std::string_view rest = text.substr(at + begin.size());
    unsigned micro = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), micro);
    const auto digits = static_cast<std::size_t>(end - rest.data());
    if (error != std::errc() || micro > 0xff || !rest.substr(digits).starts_with(" (")) continue;
    return Version{minor.hex | micro << 8 | kFinal};
  }
  return std::nullopt;
}

}  // namespace agent::python
