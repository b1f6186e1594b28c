// SPDX-License-Identifier: Apache-2.0
#include "agent/process/blocked_call.h"

#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "agent/base/parse_number.h"

namespace agent {
namespace {

// One {number, name} for each __NR_ of the kernel's headers (made by CMake).
constexpr auto kSystemCalls = std::to_array<std::pair<int, std::string_view>>({
#include <system_calls.inc>  // made by CMake
});

std::optional<std::uint64_t> ParseHex(std::string_view text) {
  if (text.starts_with("0x")) text.remove_prefix(2);
  return ParseNumber<std::uint64_t>(text, 16);
}

}  // namespace

Result<std::optional<BlockedCall>> ParseBlockedCall(std::string_view text) {
  if (text.starts_with("running")) return std::optional<BlockedCall>();
  while (text.ends_with('\n')) text.remove_suffix(1);
  // "number six-arguments sp pc", or "-1 sp pc".
  std::vector<std::string_view> fields;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    fields.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (fields.size() < 3) return Fail(Errc::kMalformed, "syscall: too short");
  const auto number = ParseNumber<std::int64_t>(fields.front());
  const auto sp = ParseHex(fields[fields.size() - 2]);
  const auto pc = ParseHex(fields.back());
  if (!number || !sp || !pc) return Fail(Errc::kMalformed, "syscall: not numbers");
  const std::uint64_t first = fields.size() > 3 ? ParseHex(fields[1]).value_or(0) : 0;
  return BlockedCall{.number = *number, .first_argument = first, .sp = *sp, .pc = *pc};
}

std::string_view SystemCallName(std::int64_t number) {
  const auto found =
      std::ranges::find(kSystemCalls, number, &std::pair<int, std::string_view>::first);
  return found == kSystemCalls.end() ? std::string_view() : found->second;
}

}  // namespace agent
