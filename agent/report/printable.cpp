// SPDX-License-Identifier: Apache-2.0
#include "agent/report/printable.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/utf8.h"

namespace agent {
namespace {

// With the figures in front a line has at most 110 columns or so.
constexpr std::size_t kMaxName = 40;
constexpr std::size_t kMaxFile = 36;

}  // namespace

std::string Fitted(std::string_view name, std::size_t width) {
  std::string text = Printable(name);
  auto characters = static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return !IsContinuation(c); }));
  if (characters <= width) return text;
  std::size_t cut = 0;
  for (; cut < text.size(); ++cut) {
    if (IsContinuation(text[cut])) continue;
    if (characters < width) break;
    --characters;
  }
  return "…" + text.substr(cut);
}

std::string DescribeFunction(const Function& function) {
  std::string name = Fitted(function.name, kMaxName);
  if (function.file.empty()) return name;
  return function.start_line == 0 ? fmt::format("{} ({})", name, Fitted(function.file, kMaxFile))
                                  : fmt::format("{} ({}:{})", name, Fitted(function.file, kMaxFile),
                                                function.start_line);
}

}  // namespace agent
