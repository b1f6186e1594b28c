// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace agent {

/// A POST, the same at every try.
struct HttpRequest {
  std::string path;  ///< Below the server's address, with the query.
  std::string content_type;
  std::string content_encoding;  ///< "" or "gzip".
  std::string body;
};

}  // namespace agent
