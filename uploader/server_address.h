// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace agent {

/// A server's URL, taken apart. Credentials are kept away from all that may be shown.
struct ServerAddress {
  bool tls = false;
  std::string host;  ///< A name, an IPv4 address, or an IPv6 address without brackets.
  int port = 0;
  std::string socket_path;  ///< Of a Unix socket; then there are no host, port and TLS.
  std::string prefix;       ///< "" or "/path" without a slash at its end.
  std::string user;
  std::string password;

  /// For messages: "http://[::1]:4040/prefix", never with credentials.
  [[nodiscard]] std::string Shown() const;
};

/// "http[s]://[user[:password]@]host[:port][/prefix][/]", RFC 3986; user and password may be
/// percent-encoded. Or "unix:///path" of a socket. kInvalid with a text for the user, which does
/// not repeat the address (it may hold a password).
[[nodiscard]] Result<ServerAddress> ParseServerAddress(std::string_view address);

}  // namespace agent
