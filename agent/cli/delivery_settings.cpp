// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/delivery_settings.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "uploader/labels.h"
#include "uploader/server_address.h"
#include "uploader/upload_format.h"

namespace agent {
namespace {

bool IsToken(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

bool IsHeaderValue(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

// For the head of a request: a line break in it would begin another header.
Result<void> TakeHeaderText(const std::string& text, std::string& target) {
  if (text.empty() || !IsHeaderValue(text)) {
    return Fail(Errc::kInvalid, "must be one line of ASCII");
  }
  target = text;
  return {};
}

Result<void> TakeFile(const std::string& text, std::string& target) {
  if (::access(text.c_str(), R_OK) != 0) return FailErrno("cannot be read");
  target = text;
  return {};
}

Result<void> AddHeader(Settings& settings, const std::string& name, const std::string& value) {
  if (!IsToken(name) || !IsHeaderValue(value)) {
    return Fail(Errc::kInvalid, "must be NAME=VALUE of a header, ASCII");
  }
  settings.http.headers.emplace_back(name, value);
  return {};
}

// PYROSCOPE_HTTP_HEADERS, as the SDKs have it.
Result<void> AddJsonHeaders(Settings& settings, const std::string& text) {
  const auto headers = nlohmann::json::parse(text, nullptr, false);
  if (!headers.is_object()) return Fail(Errc::kInvalid, "is no JSON object");
  for (const auto& [name, value] : headers.items()) {
    if (!value.is_string()) return Fail(Errc::kInvalid, "has a header that is no text");
    AGENT_CHECK_OK(AddHeader(settings, name, value.get<std::string>()));
  }
  return {};
}

std::string Variable(const GetEnvironment& get, const char* name) {
  const char* value = get(name);
  return value != nullptr ? value : "";
}

}  // namespace

Result<void> ApplyServerAddress(Settings& settings, const std::string& text) {
  std::vector<std::string> addresses;
  std::string_view rest = text;
  do {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    AGENT_CHECK_OK(ParseServerAddress(rest.substr(0, comma)));
    addresses.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  } while (!rest.empty());
  settings.servers.insert(settings.servers.end(), addresses.begin(), addresses.end());
  return {};
}

Result<void> ApplyApplicationName(Settings& settings, const std::string& text) {
  if (text.empty()) return Fail(Errc::kInvalid, "must not be empty");
  AGENT_CHECK_OK(ParseApplicationName(text));
  settings.application_name = text;
  return {};
}

Result<void> ApplyTag(Settings& settings, const std::string& text) {
  AGENT_TRY(auto tag, ParseTag(text));
  std::erase_if(settings.tags, [&](const auto& known) { return known.first == tag.first; });
  settings.tags.push_back(std::move(tag));
  return {};
}

Result<void> ApplyUploadFormat(Settings& settings, const std::string& text) {
  std::vector<UploadFormat> formats = ParseUploadFormat(text);
  if (formats.empty()) return Fail(Errc::kInvalid, "must be auto, push, pprof, folded or otlp");
  settings.upload_formats = std::move(formats);
  return {};
}

Result<void> ApplyUploadInterval(Settings& settings, const std::string& text) {
  AGENT_TRY(const Nanoseconds interval, ParseDuration(text));
  if (interval < std::chrono::seconds(1) || interval > std::chrono::minutes(10)) {
    return Fail(Errc::kInvalid, "must be from 1s to 10m");
  }
  settings.upload_interval = interval;
  return {};
}

Result<void> ApplyRequestTimeout(Settings& settings, const std::string& text) {
  AGENT_TRY(const Nanoseconds limit, ParseDuration(text));
  if (limit < std::chrono::milliseconds(100) || limit > std::chrono::minutes(5)) {
    return Fail(Errc::kInvalid, "must be from 100ms to 5m");
  }
  settings.http.request_limit = limit;
  return {};
}

Result<void> ApplyAuthToken(Settings& settings, const std::string& text) {
  return TakeHeaderText(text, settings.http.token);
}

Result<void> ApplyAuthTokenFile(Settings& settings, const std::string& text) {
  return TakeFile(text, settings.http.token_file);
}

Result<void> ApplyBasicAuthUser(Settings& settings, const std::string& text) {
  if (text.empty() || text.find(':') != std::string::npos) {
    return Fail(Errc::kInvalid, "must be a name without ':'");
  }
  settings.http.user = text;
  return {};
}

Result<void> ApplyBasicAuthPassword(Settings& settings, const std::string& text) {
  settings.http.password = text;
  return {};
}

Result<void> ApplyTenantId(Settings& settings, const std::string& text) {
  return TakeHeaderText(text, settings.http.tenant);
}

Result<void> ApplyHeader(Settings& settings, const std::string& text) {
  if (text.starts_with('{')) return AddJsonHeaders(settings, text);
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return Fail(Errc::kInvalid, "must be NAME=VALUE of a header");
  return AddHeader(settings, text.substr(0, equals), text.substr(equals + 1));
}

Result<void> ApplyCaFile(Settings& settings, const std::string& text) {
  return TakeFile(text, settings.http.ca_file);
}

Result<void> ApplyClientCert(Settings& settings, const std::string& text) {
  return TakeFile(text, settings.http.client_certificate);
}

Result<void> ApplyClientKey(Settings& settings, const std::string& text) {
  return TakeFile(text, settings.http.client_key);
}

Result<void> ApplySpool(Settings& settings, const std::string& text) {
  if (text.empty()) return Fail(Errc::kInvalid, "must be a folder");
  settings.spool = text;
  return {};
}

Result<void> ApplyListen(Settings& settings, const std::string& text) {
  AGENT_TRY(settings.listen, ParseListenAddress(text));
  return {};
}

void ApplyIdentity(const GetEnvironment& get_environment, Settings& settings) {
  const Labels attributes =
      ParseLabelList(Variable(get_environment, "OTEL_RESOURCE_ATTRIBUTES"), true);
  std::string name = Variable(get_environment, "OTEL_SERVICE_NAME");
  Labels tags;
  for (const auto& [key, value] : attributes) {
    if (key != "service_name") {
      tags.emplace_back(key, value);
    } else if (name.empty()) {
      name = value;
    }
  }
  if (settings.application_name.empty()) settings.application_name = MakeServiceName(name);
  const Labels labels = ParseLabelList(Variable(get_environment, "PYROSCOPE_LABELS"), false);
  tags.insert(tags.end(), labels.begin(), labels.end());
  // The last one of a key counts.
  settings.tags.insert(settings.tags.begin(), tags.begin(), tags.end());
}

void HideSecrets(const Settings& settings, int argc, char** argv) {
  std::vector<std::string> secrets = {settings.http.token, settings.http.password};
  for (const auto& [name, value] : settings.http.headers) secrets.push_back(value);
  for (const std::string& server : settings.servers) {
    // Of "scheme://user:password@host" all before the last '@' of the authority.
    const std::size_t begin = server.find("://");
    const std::size_t at = server.rfind('@', server.find('/', begin + 3));
    if (begin != std::string::npos && at != std::string::npos && at > begin) {
      secrets.push_back(server.substr(begin + 3, at - begin - 3));
    }
  }
  for (int i = 1; i < argc; ++i) {
    for (const std::string& secret : secrets) {
      char* found = argv[i];
      while (!secret.empty() && (found = std::strstr(found, secret.c_str())) != nullptr) {
        std::memset(found, 'x', secret.size());
        found += secret.size();
      }
    }
  }
}

}  // namespace agent
