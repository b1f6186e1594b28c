// SPDX-License-Identifier: Apache-2.0
#include "uploader/labels.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <optional>

#include "agent/base/log.h"
#include "agent/base/parse_number.h"
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
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The id of 64 hex digits that docker, containerd and podman put into the cgroup's path, in the
// short form; "" outside of a container, and where a cgroup namespace hides it.
std::string ContainerId(const std::string& root) {
  constexpr std::size_t kIdSize = 64;
  constexpr std::size_t kShortSize = 12;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    std::size_t digits = 0;
    for (std::size_t i = 0; i <= line.size(); ++i) {
      const bool is_digit = i < line.size() && ((line[i] >= '0' && line[i] <= '9') ||
                                                (line[i] >= 'a' && line[i] <= 'f'));
      if (is_digit) {
        ++digits;
        continue;
      }
      if (digits == kIdSize) return line.substr(i - kIdSize, kShortSize);
      digits = 0;
    }
  }
  return "";
}

std::string MakeKey(std::string_view text) {
  std::string key(text);
  for (char& c : key) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) c = '_';
  }
  if (!key.empty() && key[0] >= '0' && key[0] <= '9') key.insert(key.begin(), '_');
  return key;
}

std::string PercentDecoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto value = text[i] == '%' && i + 2 < text.size()
                           ? ParseNumber<unsigned>(text.substr(i + 1, 2), 16)
                           : std::nullopt;
    decoded += value ? static_cast<char>(*value) : text[i];
    if (value) i += 2;
  }
  return decoded;
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

Labels ParseLabelList(std::string_view text, bool percent) {
  Labels labels;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view pair = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string key = MakeKey(Trimmed(pair.substr(0, equals)));
    const std::string_view value = Trimmed(pair.substr(equals + 1));
    auto label = ParseTag(fmt::format("{}={}", key, percent ? PercentDecoded(value) : value));
    if (label) labels.push_back(*std::move(label));
  }
  return labels;
}

std::string MakeServiceName(std::string_view text) {
  std::string name(Trimmed(text).substr(0, kMaxValue));
  for (char& c : name) {
    if (!IsServiceName({&c, 1})) c = '_';
  }
  return name;
}

Labels FindPlace(const std::function<const char*(const char*)>& get_environment,
                 const std::string& root) {
  const auto variable = [&](const char* name) -> std::string {
    const char* value = get_environment(name);
    return value != nullptr ? value : "";
  };
  std::string name_space = variable("POD_NAMESPACE");
  if (name_space.empty()) {
    name_space = FirstLine(root + "/var/run/secrets/kubernetes.io/serviceaccount/namespace");
  }
  std::string host = HostName();
  if (host.empty()) host = variable("HOSTNAME");
  // A pod's host name is its own name.
  std::string pod = variable("POD_NAME");
  if (pod.empty() && !name_space.empty()) pod = host;
  std::string container = variable("CONTAINER_NAME");
  if (container.empty()) container = ContainerId(root);
  // Docker's host name is the id.
  if (container == host) container.clear();
  if (!pod.empty()) host.clear();
  Labels place;
  for (const auto& [key, value] : {std::pair<const char*, std::string>{"hostname", host},
                                   {"pod", pod},
                                   {"namespace", name_space},
                                   {"node", variable("NODE_NAME")},
                                   {"container", container}}) {
    if (!value.empty()) place.emplace_back(key, ReplaceNonUtf8(value.substr(0, kMaxValue / 3)));
  }
  return place;
}

Labels MakeLabels(std::string_view application_name, const Labels& tags, const Labels& place) {
  const auto name = ParseApplicationName(application_name);
  std::map<std::string, std::string> labels;
  // Names of programs end up here too, and those may hold anything.
  labels["service_name"] =
      name ? name->service : ReplaceNonUtf8(application_name.substr(0, kMaxValue / 3));
  for (const auto& [key, value] : place) labels[key] = value;
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

}  // namespace agent
