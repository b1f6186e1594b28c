// SPDX-License-Identifier: Apache-2.0
#include "uploader/server_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "agent/base/parse_number.h"

namespace agent {
namespace {

constexpr std::size_t kMaxAddress = 4096;
constexpr std::string_view kForm =
    "must be an http:// or https:// address of a server, as http://pyroscope:4040, or the "
    "unix:///path of its socket";

// True, and `text` shortened by it, if `text` begins with `prefix`, which is in lower case.
bool Consume(std::string_view prefix, std::string_view& text) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  if (text.size() < prefix.size()) return false;
  if (!std::ranges::equal(text.substr(0, prefix.size()), prefix, {}, lower)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result.push_back(text[i]);
      continue;
    }
    const std::string_view digits = text.substr(i + 1, 2);
    const auto value = ParseNumber<unsigned>(digits, 16);
    if (digits.size() != 2 || !value) return std::nullopt;
    result.push_back(static_cast<char>(*value));
    i += 2;
  }
  return result;
}

Result<void> ParseCredentials(std::string_view text, ServerAddress& address) {
  const std::size_t colon = text.find(':');
  const auto user = PercentDecoded(text.substr(0, colon));
  const auto password =
      PercentDecoded(colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1));
  // A colon in the user's name would move the border in the basic authentication (RFC 7617).
  if (!user || !password || user->empty() || user->find(':') != std::string::npos) {
    return Fail(Errc::kInvalid, "has a user or password that is not well encoded (%XX)");
  }
  address.user = *user;
  address.password = *password;
  return {};
}

bool IsHostName(std::string_view host) {
  return !host.empty() && std::ranges::all_of(host, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_';
  });
}

Result<void> ParsePort(std::string_view text, ServerAddress& address) {
  const auto port = ParseNumber<int>(text);
  if (!port || *port < 1 || *port > 65535) {
    return Fail(Errc::kInvalid, "has a port that is not a number from 1 to 65535");
  }
  address.port = *port;
  return {};
}

Result<void> ParseHostAndPort(std::string_view text, ServerAddress& address) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    address.host = text.substr(1, end == std::string_view::npos ? end : end - 1);
    in6_addr unused{};
    if (end == std::string_view::npos ||
        ::inet_pton(AF_INET6, address.host.c_str(), &unused) != 1) {
      return Fail(Errc::kInvalid, "has an IPv6 address that is none");
    }
    text.remove_prefix(end + 1);
  } else {
    const std::size_t end = std::min(text.find(':'), text.size());
    address.host = text.substr(0, end);
    if (!IsHostName(address.host)) return Fail(Errc::kInvalid, kForm);
    text.remove_prefix(end);
  }
  if (text.empty()) return {};
  if (!text.starts_with(':')) return Fail(Errc::kInvalid, kForm);
  return ParsePort(text.substr(1), address);
}

}  // namespace

std::string ServerAddress::Shown() const {
  if (!socket_path.empty()) return "unix://" + socket_path;
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}{}", tls ? "https" : "http", is_ipv6 ? "[" : "", host,
                     is_ipv6 ? "]" : "", port, prefix);
}

Result<ServerAddress> ParseServerAddress(std::string_view text) {
  ServerAddress address;
  if (text.size() > kMaxAddress) return Fail(Errc::kInvalid, "is too long for an address");
  if (Consume("unix://", text)) {
    if (!text.starts_with('/') || text.size() >= sizeof(sockaddr_un::sun_path)) {
      return Fail(Errc::kInvalid, "must be unix:///path with a path of at most 107 bytes");
    }
    address.socket_path = text;
    return address;
  }
  address.tls = Consume("https://", text);
  if (!address.tls && !Consume("http://", text)) return Fail(Errc::kInvalid, kForm);
  address.port = address.tls ? 443 : 80;
  if (text.find_first_of("?#") != std::string_view::npos) {
    return Fail(Errc::kInvalid, "must be a server's address, without '?' and '#'");
  }
  // Control characters or blanks would end up in the request's head.
  if (!std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; })) {
    return Fail(Errc::kInvalid, "has blanks or characters that an address cannot have");
  }
  const std::size_t path = std::min(text.find('/'), text.size());
  std::string_view authority = text.substr(0, path);
  const std::size_t at = authority.rfind('@');
  if (at != std::string_view::npos) {
    AGENT_CHECK_OK(ParseCredentials(authority.substr(0, at), address));
    authority.remove_prefix(at + 1);
  }
  AGENT_CHECK_OK(ParseHostAndPort(authority, address));
  address.prefix = text.substr(path);
  while (address.prefix.ends_with('/')) address.prefix.pop_back();
  return address;
}

}  // namespace agent
