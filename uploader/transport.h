// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/base/clock.h"
#include "uploader/http_request.h"
#include "uploader/reply.h"

namespace agent {

/// Brings requests to a server.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Sends `request` and waits for the answer, `limit` at most (a name look-up can take longer, and
  /// so can a server that drips its answer; Cancel ends the latter). Never throws. One call at a
  /// time.
  virtual Reply Post(const HttpRequest& request, Nanoseconds limit) = 0;
  /// Makes a Post under way fail soon; one that begins later at worst takes a new connection. From
  /// any thread.
  virtual void Cancel() = 0;
};

}  // namespace agent
