// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/perf_map.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <optional>
#include <string>

#include "agent/base/parse_number.h"

namespace agent {
namespace {

constexpr std::size_t kMaxName = 4096;
constexpr std::size_t kMaxLine = 64u << 10;
constexpr std::array<std::string_view, 5> kV8Kinds = {
    "JS:", "LazyCompile:", "Function:", "Eval:", "Script:"};

// Takes ":12" from the end of `text`.
std::optional<std::uint32_t> TakeNumber(std::string_view& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto number = ParseNumber<std::uint32_t>(text.substr(colon + 1));
  if (number) text = text.substr(0, colon);
  return number;
}

// "foo /srv/my app/a.js:12:3": neither the name nor the path need be without spaces.
JitCode ParseV8(std::string_view text) {
  JitCode code;
  std::string_view place = text;
  const auto column = TakeNumber(place);
  const auto line = column ? TakeNumber(place) : std::nullopt;
  if (line) {
    std::size_t space = std::string_view::npos;
    for (const std::string_view start : {" /", " node:", " file:", " http"}) {
      space = std::min(space, place.find(start));
    }
    if (space == std::string_view::npos) space = place.rfind(' ');
    if (space != std::string_view::npos) {
      code.file = place.substr(space + 1);
      code.start_line = *line;
      text = place.substr(0, space);
    }
  }
  while (text.ends_with(' ')) text.remove_suffix(1);
  code.name = text.empty() ? "(anonymous)" : text;
  return code;
}

std::string_view WithoutNetTier(std::string_view name) {
  // PrepareCodeConfig::GetJitOptimizationTierStr, vm/prestub.cpp of 8 to 10, and what older ones
  // say.
  constexpr std::array<std::string_view, 13> kTiers = {"[QuickJitted]",
                                                       "[OptimizedTier1]",
                                                       "[OptimizedTier1OSR]",
                                                       "[InstrumentedTier]",
                                                       "[InstrumentedTierOptimized]",
                                                       "[Optimized]",
                                                       "[MinOptJitted]",
                                                       "[PreJIT]",
                                                       "[Unknown]",
                                                       "[Tier0]",
                                                       "[Tier1]",
                                                       "[InstrumentedTier0]",
                                                       "[InstrumentedTier1]"};
  for (const std::string_view tier : kTiers) {
    if (name.size() > tier.size() && name.ends_with(tier)) {
      return name.substr(0, name.size() - tier.size());
    }
  }
  return name;
}

JitCode ParsePython(std::string_view text) {
  JitCode code;
  const std::size_t colon =
      text.find(":/") != std::string_view::npos ? text.find(":/") : text.rfind(':');
  code.name = text.substr(0, colon);
  if (colon != std::string_view::npos) code.file = text.substr(colon + 1);
  return code;
}

std::optional<std::uint64_t> TakeHex(std::string_view& line) {
  if (line.starts_with("0x") || line.starts_with("0X")) line.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value, 16);
  if (error != std::errc() || end == line.data() + line.size() || *end != ' ') return std::nullopt;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()) + 1);
  return value;
}

void AddLine(std::string_view line, CodeMap& map) {
  const auto start = TakeHex(line);
  const auto size = start ? TakeHex(line) : std::nullopt;
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!size || line.empty()) return;
  map.Add(*start, *size, std::make_shared<const JitCode>(ParseJitName(line)));
}

}  // namespace

bool IsV8Name(std::string_view name) {
  return std::ranges::any_of(kV8Kinds,
                             [name](std::string_view kind) { return name.starts_with(kind); });
}

JitCode ParseJitName(std::string_view name) {
  name = name.substr(0, kMaxName);
  for (const std::string_view kind : kV8Kinds) {
    if (!name.starts_with(kind)) continue;
    name.remove_prefix(kind.size());
    constexpr std::string_view kTiers = "*~^+";
    if (!name.empty() && kTiers.find(name.front()) != std::string_view::npos) {
      name.remove_prefix(1);
    }
    return ParseV8(name);
  }
  constexpr std::string_view kPython = "py::";
  if (name.starts_with(kPython)) return ParsePython(name.substr(kPython.size()));
  JitCode code;
  code.name = WithoutNetTier(name);
  return code;
}

std::size_t AddPerfMap(std::string_view text, CodeMap& map) {
  std::size_t taken = 0;
  while (true) {
    const std::size_t end = text.find('\n', taken);
    if (end == std::string_view::npos) {
      // So long a line is none; the rest of it will be passed over as another.
      return text.size() - taken > kMaxLine ? text.size() : taken;
    }
    AddLine(text.substr(taken, end - taken), map);
    taken = end + 1;
  }
}

}  // namespace agent
