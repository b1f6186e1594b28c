// SPDX-License-Identifier: Apache-2.0
#include "uploader/labels.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "agent/base/log.h"
#include "agent/base/utf8.h"

namespace agent {
namespace {

// Limits of Pyroscope (pkg/validation/limits.go): 30 label names, of which __name__ is one.
constexpr std::size_t kMaxLabels = 29;
constexpr std::size_t kMaxKey = 1024;
constexpr std::size_t kMaxValue = 2048;

bool IsKey(std::string_view key) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !key.empty() && key.size() <= kMaxKey && !is_digit(key[0]) &&
         std::ranges::all_of(key, [&](char c) { return is_letter(c) || is_digit(c); });
}

bool IsServiceName(std::string_view name) {
  constexpr std::string_view kOthers = "_.-/";
  return std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.contains(c);
  });
}

std::string_view Trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::unexpected<Error> FailTag(std::string_view tag, std::string_view why) {
  return Fail(Errc::kInvalid, "tag",
              fmt::format("\"{}\" {}", ReplaceNonUtf8(tag.substr(0, 200)), why));
}

std::string HostName() {
  const char* pod = std::getenv("POD_NAME");
  if (pod != nullptr && *pod != '\0') return pod;
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0') return name.data();
  const char* host = std::getenv("HOSTNAME");
  return host != nullptr ? host : "";
}

}  // namespace

Result<std::pair<std::string, std::string>> ParseTag(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return FailTag(text, "must be KEY=VALUE");
  const std::string_view key = Trimmed(text.substr(0, equals));
  const std::string_view value = text.substr(equals + 1);
  if (!IsKey(key)) {
    return FailTag(text,
                   "must have a key of letters, digits and _, that does not begin with a digit");
  }
  if (key.starts_with("__")) return FailTag(text, "must not begin with __, which is the server's");
  if (value.size() > kMaxValue) return FailTag(key, "has a value of more than 2048 bytes");
  if (!IsUtf8(value)) return FailTag(key, "has a value that is not UTF-8");
  return std::pair(std::string(key), std::string(value));
}

Result<ApplicationName> ParseApplicationName(std::string_view text) {
  const std::size_t brace = text.find('{');
  ApplicationName name{.service = std::string(Trimmed(text.substr(0, brace))), .labels = {}};
  if (name.service.empty()) return Fail(Errc::kInvalid, "must not be empty");
  if (name.service.size() > kMaxValue) return Fail(Errc::kInvalid, "is longer than 2048 bytes");
  if (!IsServiceName(name.service)) {
    return Fail(Errc::kInvalid,
                "may have letters, digits and _ . - / only, and labels in braces: name{key=value}");
  }
  if (brace == std::string_view::npos) return name;
  std::string_view rest = Trimmed(text.substr(brace + 1));
  if (!rest.ends_with('}')) return Fail(Errc::kInvalid, "has a '{' without its '}' at the end");
  rest.remove_suffix(1);
  while (!Trimmed(rest).empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    AGENT_TRY(auto label, ParseTag(Trimmed(rest.substr(0, comma))));
    name.labels.push_back(std::move(label));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return name;
}

Labels MakeLabels(std::string_view application_name, const Labels& tags, std::string_view host) {
  const auto name = ParseApplicationName(application_name);
  std::map<std::string, std::string> labels;
  // Names of programs end up here too, and those may hold anything.
  labels["service_name"] =
      name ? name->service : ReplaceNonUtf8(application_name.substr(0, kMaxValue / 3));
  if (!host.empty()) labels["hostname"] = ReplaceNonUtf8(host.substr(0, kMaxValue / 3));
  std::size_t left_out = 0;
  const auto add = [&](const Labels& more) {
    for (const auto& [key, value] : more) {
      if (labels.size() < kMaxLabels || labels.contains(key)) {
        labels[key] = value;
      } else {
        ++left_out;
      }
    }
  };
  if (name) add(name->labels);
  add(tags);
  if (left_out > 0) {
    LogWarn("{} tags are left out: a server takes {} labels at most", left_out, kMaxLabels);
  }
  return {labels.begin(), labels.end()};
}

Labels MakeLabels(std::string_view application_name, const Labels& tags) {
  return MakeLabels(application_name, tags, HostName());
}

}  // namespace agent
