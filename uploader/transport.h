// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/base/clock.h"
#include "uploader/reply.h"

namespace agent {

/// Brings one push.v1 request to a server.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Sends the gzipped PushRequest `body` and waits for the answer, `limit` at most (a name look-up
  /// can take longer, and so can a server that drips its answer; Cancel ends the latter). Never
  /// throws. One call at a time.
  virtual Reply Post(const std::string& body, Nanoseconds limit) = 0;
  /// Makes a Post under way fail soon. From any thread; a Post that begins later is not touched.
  virtual void Cancel() = 0;
};

}  // namespace agent
