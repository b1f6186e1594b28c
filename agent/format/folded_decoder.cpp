// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cmath>
#include <string_view>

#include "agent/format/loaded_profile.h"

namespace agent {
namespace {

// "name (/path/file.py:12)", as py-spy writes frames, and "name"; the line may be missing.
Frame FrameOf(std::string_view text, FunctionTable& functions) {
  const std::size_t open = text.rfind(" (");
  if (open == std::string_view::npos || !text.ends_with(')')) {
    return {.function = functions.Intern(text, "", 0)};
  }
  std::string_view place = text.substr(open + 2, text.size() - open - 3);
  std::uint32_t line = 0;
  if (const std::size_t colon = place.rfind(':'); colon != std::string_view::npos) {
    const std::string_view digits = place.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), line);
    if (error != std::errc() || end != digits.data() + digits.size()) line = 0;
    if (line > 0) place = place.substr(0, colon);
  }
  // Parentheses of a C++ name are no file.
  if (line == 0 && !place.contains('/') && !place.contains('.')) {
    return {.function = functions.Intern(text, "", 0)};
  }
  return {.function = functions.Intern(text.substr(0, open), place, 0), .line = line};
}

}  // namespace

Result<std::unique_ptr<LoadedProfile>> DecodeFolded(std::string_view text) {
  auto result = std::make_unique<LoadedProfile>();
  Profile& profile = result->profile;
  const ThreadIndex thread = profile.InternThread({});
  std::vector<Frame> frames;
  SampleValue total;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t space = line.rfind(' ');
    double count = 0;
    if (space != std::string_view::npos) {
      const auto [last, error] =
          std::from_chars(line.data() + space + 1, line.data() + line.size(), count);
      if (error != std::errc() || last != line.data() + line.size()) count = -1;
    }
    if (space == std::string_view::npos || space == 0 || !(count >= 0 && count < 1e15)) {
      return Fail(Errc::kMalformed, "not a line of collapsed stacks (\"a;b;c 42\")",
                  std::string(line.substr(0, 60)));
    }
    std::string_view stack = line.substr(0, space);
    frames.clear();
    while (!stack.empty()) {  // from the leaf on
      const std::size_t semicolon = stack.rfind(';');
      const bool last = semicolon == std::string_view::npos;
      frames.push_back(FrameOf(last ? stack : stack.substr(semicolon + 1), result->functions));
      stack = last ? std::string_view() : stack.substr(0, semicolon);
    }
    const SampleValue value{.count = std::llround(count)};
    AGENT_CHECK_OK(AddWithinLimit(total, value));
    profile.Add(profile.InternStack(frames), thread, SampleKind::kCpu, profile.start(), value);
  }
  return result;
}

}  // namespace agent
