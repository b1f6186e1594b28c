// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "uploader/http_options.h"
#include "uploader/server_address.h"

namespace httplib {
class ClientImpl;
}

namespace agent {

/// Sets up name look-ups and OpenSSL. While there is one thread only.
void PrepareHttp();

struct HttpClient {
  std::unique_ptr<httplib::ClientImpl> client;  ///< Null: see `trouble`.
  std::string trouble;                          ///< Why there is none, for the user.
  std::string proxy;  ///< What it goes through, as messages show it; "" : nothing.
};

/// A client of HTTP/1.1 or HTTPS, which keeps its connection. Certificates are checked against the
/// options' authorities, else SSL_CERT_FILE and SSL_CERT_DIR of the environment, else the system's.
/// Takes the environment's proxy. No time limit but that of connecting (3 s). Does not follow
/// redirections. PrepareHttp must have been called.
[[nodiscard]] HttpClient MakeHttpClient(const ServerAddress& address,
                                        const HttpOptions& options = {});

}  // namespace agent
