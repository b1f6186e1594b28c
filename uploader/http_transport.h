// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "uploader/http_options.h"
#include "uploader/server_address.h"
#include "uploader/transport.h"

namespace agent {

/// HTTP/1.1 or HTTPS over one connection, as long as the server keeps it. Call it while there is
/// one thread only: it sets up name look-ups and OpenSSL.
[[nodiscard]] std::unique_ptr<Transport> MakeHttpTransport(ServerAddress address,
                                                           HttpOptions options = {});

}  // namespace agent
