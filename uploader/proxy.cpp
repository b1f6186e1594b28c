// SPDX-License-Identifier: Apache-2.0
#include "uploader/proxy.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/parse_number.h"

namespace agent {
namespace {

using Environment = std::function<const char*(const char*)>;

std::string FirstSet(const Environment& get, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = get(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// The bytes of an IPv4 or IPv6 address; empty when it is none.
std::string AddressBytes(const std::string& text) {
  std::array<char, 16> bytes{};
  if (::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return {bytes.data(), 16};
  return "";
}

bool IsInNetwork(const std::string& host, std::string_view network) {
  const std::size_t slash = network.find('/');
  const std::string bytes = AddressBytes(host);
  const std::string base = AddressBytes(std::string(network.substr(0, slash)));
  const auto bits = ParseNumber<unsigned>(network.substr(slash + 1));
  if (bytes.empty() || bytes.size() != base.size() || !bits || *bits > 8 * bytes.size()) {
    return false;
  }
  for (unsigned bit = 0; bit < *bits; ++bit) {
    const unsigned mask = 0x80u >> (bit % 8);
    const auto differ = static_cast<unsigned char>(bytes[bit / 8] ^ base[bit / 8]);
    if ((differ & mask) != 0) return false;
  }
  return true;
}

bool IsThisMachine(const std::string& host) {
  return host == "localhost" || host.ends_with(".localhost") || IsInNetwork(host, "127.0.0.0/8") ||
         IsInNetwork(host, "::1/128");
}

bool Names(std::string_view entry, const std::string& host, int port) {
  while (entry.starts_with(' ')) entry.remove_prefix(1);
  while (entry.ends_with(' ')) entry.remove_suffix(1);
  if (entry.empty()) return false;
  if (entry == "*") return true;
  if (entry.find('/') != std::string_view::npos) return IsInNetwork(host, entry);
  const std::size_t colon = entry.rfind(':');
  if (colon != std::string_view::npos && entry.find(':') == colon) {
    if (ParseNumber<int>(entry.substr(colon + 1)) != port) return false;
    entry = entry.substr(0, colon);
  }
  if (entry.starts_with('*')) entry.remove_prefix(1);
  std::string name = Lower(entry);
  if (name.starts_with('.')) name.erase(0, 1);
  return host == name || host.ends_with("." + name);
}

bool IsExcepted(std::string_view no_proxy, const std::string& host, int port) {
  while (!no_proxy.empty()) {
    const std::size_t comma = std::min(no_proxy.find(','), no_proxy.size());
    if (Names(no_proxy.substr(0, comma), host, port)) return true;
    no_proxy.remove_prefix(std::min(comma + 1, no_proxy.size()));
  }
  return false;
}

}  // namespace

Result<std::optional<ServerAddress>> ProxyFor(const ServerAddress& address,
                                              const Environment& get_environment) {
  std::optional<ServerAddress> none;
  const std::string host = Lower(address.host);
  if (!address.socket_path.empty() || IsThisMachine(host)) return none;
  std::string proxy = address.tls ? FirstSet(get_environment, {"https_proxy", "HTTPS_PROXY"})
                                  : FirstSet(get_environment, {"http_proxy"});
  if (proxy.empty()) proxy = FirstSet(get_environment, {"all_proxy", "ALL_PROXY"});
  if (proxy.empty()) return none;
  if (IsExcepted(FirstSet(get_environment, {"no_proxy", "NO_PROXY"}), host, address.port)) {
    return none;
  }
  if (proxy.find("://") == std::string::npos) proxy = "http://" + proxy;
  Result<ServerAddress> parsed = ParseServerAddress(proxy);
  if (!parsed || parsed->tls || !parsed->socket_path.empty()) {
    return Fail(Errc::kInvalid,
                "the proxy of the environment (https_proxy, http_proxy, all_proxy) must be an "
                "http:// address");
  }
  return std::optional(*std::move(parsed));
}

}  // namespace agent
