// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <string>
#include <string_view>

namespace agent {

/// "1 sample", "2 samples".
[[nodiscard]] std::string Counted(std::integral auto count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// "1 sample was", "2 samples were".
[[nodiscard]] std::string CountedWere(std::integral auto count, std::string_view noun) {
  return Counted(count, noun) + (count == 1 ? " was" : " were");
}

}  // namespace agent
