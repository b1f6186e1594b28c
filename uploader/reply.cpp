// SPDX-License-Identifier: Apache-2.0
#include "uploader/reply.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "agent/base/parse_number.h"
#include "agent/base/utf8.h"

namespace agent {
namespace {

constexpr std::size_t kMaxShown = 200;

bool SpeaksConnect(const Reply& reply) {
  return reply.content_type.empty() || reply.content_type.starts_with("application/proto");
}

bool IsRedirect(const Reply& reply) { return reply.status >= 300 && reply.status < 400; }

}  // namespace

Verdict Judge(const Reply& reply) {
  if (reply.status == 0 || reply.status == 408 || reply.status == 429 || reply.status >= 500) {
    return Verdict::kRetry;
  }
  const bool is_ok = reply.status >= 200 && reply.status < 300;
  return is_ok && SpeaksConnect(reply) ? Verdict::kSent : Verdict::kRefused;
}

std::string Describe(const Reply& reply) {
  if (reply.status == 0) return reply.trouble;
  std::string text = fmt::format("status {}", reply.status);
  if (IsRedirect(reply) && !reply.location.empty()) {
    text += ", a redirect to " + ReplaceNonUtf8(reply.location.substr(0, kMaxShown));
  } else if (reply.status < 300 && !SpeaksConnect(reply)) {
    text += ", but not as Pyroscope does: Content-Type " +
            ReplaceNonUtf8(reply.content_type.substr(0, kMaxShown));
  } else if (!reply.body.empty()) {
    text += ", " + ReplaceNonUtf8(reply.body.substr(0, kMaxShown));
  }
  return text;
}

std::string_view Remedy(const Reply& reply) {
  if (reply.status == 0) return "Is the address right, and does the server run?";
  if (reply.status == 401 || reply.status == 403) {
    return "Credentials go into the address: https://user:password@host";
  }
  if (IsRedirect(reply)) return "Redirects are not followed: give the address it leads to";
  if (reply.status == 429)
    return "The server limits the rate; a longer --upload-interval sends less";
  if (reply.status == 404 || reply.status == 405 || reply.status < 300) {
    return "Is it the address of a Pyroscope server (1.0 or later), with its path prefix?";
  }
  return "";
}

std::optional<Nanoseconds> ParseRetryAfter(std::string_view text) {
  constexpr std::int64_t kMost = 600;
  const auto seconds = ParseNumber<std::int64_t>(text);
  if (!seconds || *seconds < 0) return std::nullopt;
  return std::chrono::seconds(std::min(*seconds, kMost));
}

}  // namespace agent
