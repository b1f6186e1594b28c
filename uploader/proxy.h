// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "agent/base/error.h"
#include "uploader/server_address.h"

namespace agent {

/// The proxy for `address` by the variables that curl and Go's clients know: https_proxy,
/// http_proxy (in capitals too; but HTTP_PROXY, which a CGI server sets to what its client says),
/// all_proxy, unless no_proxy names the host: "*", names with what lies below them, addresses, and
/// networks (10.0.0.0/8), each with an optional port. The machine itself is never reached by one.
/// kInvalid, with a text for the user, when the proxy is no http:// address.
[[nodiscard]] Result<std::optional<ServerAddress>> ProxyFor(
    const ServerAddress& address, const std::function<const char*(const char*)>& get_environment);

}  // namespace agent
