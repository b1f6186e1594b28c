// SPDX-License-Identifier: Apache-2.0
// Whether profiles arrive: one is sent and read back.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/profile/profile.h"
#include "uploader/transport.h"
#include "uploader/upload_format.h"

namespace agent {

/// What came of it, for the user: "takes profiles" → "yes, as push".
struct VerificationLine {
  std::string what;
  std::string result;
  bool good = true;
};

struct VerificationTools {
  Transport& transport;
  const Clock& clock;
  std::function<void(Nanoseconds)> sleep;
};

/// Sends a profile of one second of CPU in a function of its own under `labels` and a label
/// agent_verify of its own, in the first of `formats` that the server knows; then asks the server's
/// query API (querier.v1) for it, for 15 s at most, and compares: time, function, labels. The last
/// line is the query for the user interface. Receivers that cannot be asked are told of as such.
[[nodiscard]] std::vector<VerificationLine> VerifyServer(const std::vector<UploadFormat>& formats,
                                                         const Labels& labels,
                                                         const VerificationTools& tools);

}  // namespace agent
