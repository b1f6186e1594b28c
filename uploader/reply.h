// SPDX-License-Identifier: Apache-2.0
// What a server said to a request, and what follows from it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "uploader/upload_format.h"

namespace agent {

struct Reply {
  int status = 0;        ///< HTTP status; 0: there was no answer.
  std::string trouble;   ///< Why there was no answer, for the user.
  bool reached = false;  ///< Without an answer: there was a connection, the server may have it all.
  bool cut_short = false;  ///< Without an answer: the agent's own end left it no time.
  std::string body;        ///< The first part of it.
  std::string content_type;
  std::string location;                    ///< Where a redirect leads.
  std::optional<Nanoseconds> retry_after;  ///< What the server asks for.
};

enum class Verdict {
  kSent,
  kRetry,        ///< The same bytes may be taken later.
  kRefused,      ///< They never will be.
  kOtherFormat,  ///< This server does not know the format.
};

/// No answer, 408, 429 and 5xx are tried again. 404, 405, 415, and a 2xx that is not the one of the
/// format (a web page, behind a wrong address) say that the server does not know it. Any other
/// status is a refusal.
[[nodiscard]] Verdict Judge(const Reply& reply, UploadFormat format);

/// One line: the trouble, or status and what the body says. Bounded.
[[nodiscard]] std::string Describe(const Reply& reply, UploadFormat format);

/// What the user can do about it; "" when there is nothing to say.
[[nodiscard]] std::string_view Remedy(const Reply& reply, UploadFormat format);

/// The Retry-After header: seconds, or a date (RFC 9110, 10.2.3) with `now`; ten minutes at most.
[[nodiscard]] std::optional<Nanoseconds> ParseRetryAfter(const std::string& text, WallTime now);

}  // namespace agent
