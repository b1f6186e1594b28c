// SPDX-License-Identifier: Apache-2.0
// What a server's answer means, and how long to wait after it.
#include <array>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/backoff.h"
#include "uploader/reply.h"

using namespace agent;

namespace {

constexpr UploadFormat kPush = UploadFormat::kPush;
constexpr std::array kFormats = {UploadFormat::kPush, UploadFormat::kPprof, UploadFormat::kFolded,
                                 UploadFormat::kOtlp};
// 2026-10-21 07:28:00 UTC
const WallTime kNow{std::chrono::seconds(1'792'567'680)};

Reply Status(int status) {
  Reply reply;
  reply.status = status;
  return reply;
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("Replies: what is sent, tried again and lost") {
  for (const UploadFormat format : kFormats) {
    for (const int status : {200, 204}) CHECK(Judge(Status(status), format) == Verdict::kSent);
    for (const int status : {0, 408, 429, 500, 502, 503, 504}) {
      CHECK(Judge(Status(status), format) == Verdict::kRetry);
    }
    for (const int status : {301, 302, 307, 308, 400, 401, 403, 413, 422}) {
      CHECK(Judge(Status(status), format) == Verdict::kRefused);
    }
    for (const int status : {404, 405, 415}) {
      CHECK(Judge(Status(status), format) == Verdict::kOtherFormat);
    }
  }
}

TEST_CASE("Replies: 200 from a server that is no Pyroscope is no success") {
  Reply reply = Status(200);
  reply.content_type = "application/proto; charset=x";
  CHECK(Judge(reply, UploadFormat::kPush) == Verdict::kSent);
  for (const UploadFormat format : kFormats) {
    reply.content_type = "text/html";
    CHECK(Judge(reply, format) == Verdict::kOtherFormat);
    CHECK(Contains(Describe(reply, format), "text/html"));
  }
  // /ingest answers so.
  reply.content_type = "text/plain; charset=utf-8";
  CHECK(Judge(reply, UploadFormat::kPush) == Verdict::kOtherFormat);
  CHECK(Judge(reply, UploadFormat::kPprof) == Verdict::kSent);
}

TEST_CASE("Replies: texts are bounded and say what to do") {
  Reply reply = Status(422);
  reply.body = std::string(100'000, 'x');
  CHECK(Contains(Describe(reply, kPush), "422"));
  CHECK(Describe(reply, kPush).size() < 250);
  reply.body = "\xff";
  CHECK(Contains(Describe(reply, kPush), "\xEF\xBF\xBD"));

  Reply redirect = Status(301);
  redirect.location = "https://elsewhere/push";
  CHECK(Contains(Describe(redirect, kPush), "redirect to https://elsewhere/push"));
  CHECK(Contains(std::string(Remedy(redirect, kPush)), "not followed"));
  CHECK(Contains(std::string(Remedy(Status(401), kPush)), "--auth-token-file"));

  Reply silent;
  silent.trouble = "no connection";
  CHECK(Describe(silent, kPush) == "no connection");
}

TEST_CASE("Replies: Retry-After in seconds, or as a date") {
  CHECK(ParseRetryAfter("0", kNow) == Nanoseconds(0));
  CHECK(ParseRetryAfter("7", kNow) == std::chrono::seconds(7));
  CHECK(ParseRetryAfter("999999", kNow) == std::chrono::minutes(10));
  CHECK(ParseRetryAfter("Wed, 21 Oct 2026 07:28:09 GMT", kNow) == std::chrono::seconds(9));
  CHECK(ParseRetryAfter("Wed, 21 Oct 2026 07:27:00 GMT", kNow) == Nanoseconds(0));
  CHECK(ParseRetryAfter("Wed, 21 Oct 2027 07:27:00 GMT", kNow) == std::chrono::minutes(10));
  for (const char* text : {"", "-1", "1.5", "7 ", "x", "99999999999999999999", "Wed, 21 Oct"}) {
    INFO(text);
    CHECK_FALSE(ParseRetryAfter(text, kNow));
  }
}

TEST_CASE("Back-off: any time up to a bound that doubles, from 0.5 s to 30 s") {
  Backoff most([] { return 1.0; });
  std::vector<double> seconds;
  for (int i = 0; i < 8; ++i) {
    seconds.push_back(std::chrono::duration<double>(most.Next()).count());
  }
  CHECK(seconds == std::vector<double>{0.5, 1, 2, 4, 8, 16, 30, 30});
  most.Reset();
  CHECK(most.Next() == std::chrono::milliseconds(500));

  Backoff half([] { return 0.5; });
  CHECK(half.Next() == std::chrono::milliseconds(250));
  CHECK(half.Next() == std::chrono::milliseconds(500));
}

TEST_CASE("Back-off: never so short that a dead server costs CPU time") {
  Backoff least([] { return 0.0; });
  for (int i = 0; i < 5; ++i) CHECK(least.Next() == Backoff::kLeast);
}
