// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace agent {

/// What follows the last '/'; all of it when there is none.
[[nodiscard]] constexpr std::string_view BaseName(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);
}

/// What precedes the last '/'; "" when there is none.
[[nodiscard]] constexpr std::string_view FolderOf(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return path.substr(0, slash == std::string_view::npos ? 0 : slash);
}

}  // namespace agent
