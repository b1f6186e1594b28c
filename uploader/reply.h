// SPDX-License-Identifier: Apache-2.0
// What a server said to a request, and what follows from it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/base/clock.h"

namespace agent {

struct Reply {
  int status = 0;       ///< HTTP status; 0: there was no answer.
  std::string trouble;  ///< Why there was no answer, for the user.
  std::string body;     ///< The first part of it.
  std::string content_type;
  std::string location;                    ///< Where a redirect leads.
  std::optional<Nanoseconds> retry_after;  ///< What the server asks for.
};

enum class Verdict {
  kSent,
  kRetry,    ///< The same bytes may be taken later.
  kRefused,  ///< They never will be.
};

/// No answer, 408, 429 and 5xx are tried again; no other status is. A 2xx of a server that does not
/// speak Connect (a web page, behind a wrong address) is a refusal too.
[[nodiscard]] Verdict Judge(const Reply& reply);

/// One line: the trouble, or status and what the body says. Bounded.
[[nodiscard]] std::string Describe(const Reply& reply);

/// What the user can do about it; "" when there is nothing to say.
[[nodiscard]] std::string_view Remedy(const Reply& reply);

/// The Retry-After header: seconds (RFC 9110, 10.2.3), ten minutes at most. A date is taken as
/// none.
[[nodiscard]] std::optional<Nanoseconds> ParseRetryAfter(std::string_view text);

}  // namespace agent
