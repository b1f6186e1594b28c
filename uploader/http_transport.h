// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "uploader/server_address.h"
#include "uploader/transport.h"

namespace httplib {
class ClientImpl;
}

namespace agent {

/// HTTP/1.1 or HTTPS, a connection for each request. Certificates are checked against SSL_CERT_FILE
/// and SSL_CERT_DIR of the environment, else the system's. Call it while there is one thread only:
/// it sets up name look-ups and OpenSSL.
[[nodiscard]] std::unique_ptr<Transport> MakeHttpTransport(ServerAddress address);

/// What MakeHttpTransport sets up, for others that use MakeHttpClient. While there is one thread
/// only.
void PrepareHttp();
/// A client with a connection for each request; no time limit but that of connecting. Does not
/// follow redirections.
[[nodiscard]] std::unique_ptr<httplib::ClientImpl> MakeHttpClient(const ServerAddress& address);

}  // namespace agent
