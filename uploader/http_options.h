// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/base/clock.h"

namespace agent {

/// How requests are made. What of it is secret stands in no message of ours.
struct HttpOptions {
  std::string ca_file;             ///< PEM; "": SSL_CERT_FILE, SSL_CERT_DIR, else the system's.
  std::string client_certificate;  ///< PEM; with `client_key`.
  std::string client_key;
  bool skip_verify = false;
  std::string token;       ///< Bearer; goes before user and password.
  std::string token_file;  ///< Read for each request: such tokens are renewed.
  std::string user;        ///< Go before those of the address.
  std::string password;
  std::string tenant;                                        ///< X-Scope-OrgID
  std::vector<std::pair<std::string, std::string>> headers;  ///< Further ones.
  Nanoseconds request_limit{std::chrono::seconds(10)};       ///< Of a whole request.
};

}  // namespace agent
