// SPDX-License-Identifier: Apache-2.0
#include "uploader/listen_address.h"

#include "agent/base/parse_number.h"

namespace agent {

Result<ListenAddress> ParseListenAddress(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const auto port =
      ParseNumber<int>(colon == std::string_view::npos ? text : text.substr(colon + 1));
  std::string_view host = colon == std::string_view::npos ? "" : text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!port || *port < 0 || *port > 65535 ||
      (!bracketed && host.find(':') != std::string_view::npos)) {
    return Fail(Errc::kInvalid, "must be [HOST]:PORT, as :6061, 0.0.0.0:6061 or [::1]:6061");
  }
  return ListenAddress{.host = host.empty() ? "127.0.0.1" : std::string(host), .port = *port};
}

}  // namespace agent
