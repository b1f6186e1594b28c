// SPDX-License-Identifier: Apache-2.0
#include "uploader/reply.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "agent/base/parse_number.h"
#include "agent/base/utf8.h"

namespace agent {
namespace {

constexpr std::size_t kMaxShown = 200;

// A 2xx that means what it says. Other servers answer with their web page, whatever one asks.
bool SpeaksFormat(const Reply& reply, UploadFormat format) {
  const std::string_view type = reply.content_type;
  switch (format) {
    case UploadFormat::kPush:
      return type.empty() || type.starts_with("application/proto");
    case UploadFormat::kOtlp:
      return !type.starts_with("text/");
    case UploadFormat::kPprof:
    case UploadFormat::kFolded:
      return !type.starts_with("text/html");
  }
  std::unreachable();
}

bool IsOk(const Reply& reply) { return reply.status >= 200 && reply.status < 300; }

bool IsRedirect(const Reply& reply) { return reply.status >= 300 && reply.status < 400; }

}  // namespace

Verdict Judge(const Reply& reply, UploadFormat format) {
  if (reply.status == 0 || reply.status == 408 || reply.status == 429 || reply.status >= 500) {
    return Verdict::kRetry;
  }
  if (IsOk(reply)) return SpeaksFormat(reply, format) ? Verdict::kSent : Verdict::kOtherFormat;
  const bool is_unknown = reply.status == 404 || reply.status == 405 || reply.status == 415;
  return is_unknown ? Verdict::kOtherFormat : Verdict::kRefused;
}

std::string Describe(const Reply& reply, UploadFormat format) {
  if (reply.status == 0) return reply.trouble;
  std::string text = fmt::format("status {}", reply.status);
  if (IsRedirect(reply) && !reply.location.empty()) {
    text += ", a redirect to " + ReplaceNonUtf8(reply.location.substr(0, kMaxShown));
  } else if (IsOk(reply) && !SpeaksFormat(reply, format)) {
    text += ", but not as a receiver of profiles: Content-Type " +
            ReplaceNonUtf8(reply.content_type.substr(0, kMaxShown));
  } else if (!reply.body.empty()) {
    text += ", " + ReplaceNonUtf8(reply.body.substr(0, kMaxShown));
  }
  return text;
}

std::string_view Remedy(const Reply& reply, UploadFormat format) {
  if (reply.status == 0) return "Is the address right, and does the server run?";
  if (reply.status == 401 || reply.status == 403) {
    return "Credentials: --auth-token-file, --basic-auth-user and --basic-auth-password, or in the "
           "address; --tenant-id for the tenant";
  }
  if (IsRedirect(reply)) return "Redirects are not followed: give the address it leads to";
  if (reply.status == 429) {
    return "The server limits the rate; a longer --upload-interval sends less";
  }
  if (Judge(reply, format) == Verdict::kOtherFormat) {
    return "Is it the address of a Pyroscope server, with its path prefix? (--upload-format)";
  }
  return "";
}

std::optional<Nanoseconds> ParseRetryAfter(const std::string& text, WallTime now) {
  constexpr std::int64_t kMost = 600;
  if (const auto seconds = ParseNumber<std::int64_t>(text)) {
    if (*seconds < 0) return std::nullopt;
    return std::chrono::seconds(std::min(*seconds, kMost));
  }
  tm date{};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (end == nullptr || *end != '\0') return std::nullopt;
  const WallTime at{std::chrono::seconds(::timegm(&date))};
  return std::clamp<Nanoseconds>(at - now, Nanoseconds(0), std::chrono::seconds(kMost));
}

}  // namespace agent
