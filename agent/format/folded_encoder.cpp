// SPDX-License-Identifier: Apache-2.0
#include "agent/format/folded_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

#include "agent/base/utf8.h"

namespace agent {
namespace {

constexpr std::size_t kMaxLine = 60'000;  // below the 65,536 at which the server's scanner gives up
constexpr std::size_t kMaxName = 8'000;   // so that the leaf is never what is cut
constexpr std::string_view kCut = "[cut]";

std::string NameIn(const Frame& frame) {
  std::string name = frame.function->name.empty() ? "[unnamed]" : frame.function->name;
  if (name.size() > kMaxName) {
    // The end of a qualified name tells more; not within a character.
    std::size_t cut = name.size() - kMaxName;
    while (cut < name.size() && IsContinuation(name[cut])) ++cut;
    name = "..." + name.substr(cut);
  }
  for (char& c : name) {
    if (c == ';') c = ':';
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return name;
}

std::string FoldedStack(std::span<const Frame> leaf_first) {
  std::vector<std::string> names;
  std::size_t size = 0;
  for (const Frame& frame : leaf_first) {
    std::string name = NameIn(frame);
    size += name.size() + 1;
    if (size > kMaxLine) {
      names.emplace_back(kCut);
      break;
    }
    names.push_back(std::move(name));
  }
  std::ranges::reverse(names);
  return fmt::format("{}", fmt::join(names, ";"));
}

template <typename CountOf>
std::string Encode(const Profile& profile, CountOf count_of) {
  std::map<StackId, SampleValue> sums;
  for (const Profile::Entry& entry : profile.Entries()) {
    SampleValue& sum = sums[entry.key.stack];
    sum += entry.value;
  }
  std::map<std::string, std::int64_t> lines;
  for (const auto& [stack, value] : sums) {
    const std::int64_t count = count_of(value);
    if (count > 0) lines[FoldedStack(profile.StackFrames(stack))] += count;
  }
  std::string text;
  for (const auto& [stack, count] : lines) text += fmt::format("{} {}\n", stack, count);
  return text;
}

std::int64_t Rounded(std::int64_t ns, std::int64_t unit) { return (ns + unit / 2) / unit; }

}  // namespace

std::string EncodeFolded(const Profile& profile) {
  const std::int64_t period = std::max<std::int64_t>(profile.period().count(), 1);
  const bool has_wall = profile.Total().wall_ns > 0;
  return Encode(profile, [&](const SampleValue& value) {
    if (has_wall) return Rounded(value.wall_ns, period);
    return value.count == 0 ? Rounded(value.cpu_ns, period) : value.count;
  });
}

std::string EncodeFolded(const Profile& profile, Nanoseconds cpu_unit) {
  return Encode(profile,
                [&](const SampleValue& value) { return Rounded(value.cpu_ns, cpu_unit.count()); });
}

}  // namespace agent
