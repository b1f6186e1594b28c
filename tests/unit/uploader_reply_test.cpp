// SPDX-License-Identifier: Apache-2.0
// What a server's answer means, and how long to wait after it.
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/backoff.h"
#include "uploader/reply.h"

using namespace agent;

namespace {

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
  for (const int status : {200, 204}) CHECK(Judge(Status(status)) == Verdict::kSent);
  for (const int status : {0, 408, 429, 500, 502, 503, 504}) {
    CHECK(Judge(Status(status)) == Verdict::kRetry);
  }
  for (const int status : {301, 302, 307, 308, 400, 401, 403, 404, 405, 413, 415, 422}) {
    CHECK(Judge(Status(status)) == Verdict::kRefused);
  }
}

TEST_CASE("Replies: 200 from a server that is no Pyroscope is no success") {
  Reply reply = Status(200);
  reply.content_type = "application/proto; charset=x";
  CHECK(Judge(reply) == Verdict::kSent);
  reply.content_type = "text/html";
  CHECK(Judge(reply) == Verdict::kRefused);
  CHECK(Contains(Describe(reply), "text/html"));
}

TEST_CASE("Replies: texts are bounded and say what to do") {
  Reply reply = Status(422);
  reply.body = std::string(100'000, 'x');
  CHECK(Contains(Describe(reply), "422"));
  CHECK(Describe(reply).size() < 250);
  reply.body = "\xff";
  CHECK(Contains(Describe(reply), "\xEF\xBF\xBD"));

  Reply redirect = Status(301);
  redirect.location = "https://elsewhere/push";
  CHECK(Contains(Describe(redirect), "redirect to https://elsewhere/push"));
  CHECK(Contains(std::string(Remedy(redirect)), "not followed"));
  CHECK(Contains(std::string(Remedy(Status(401))), "user:password"));

  Reply silent;
  silent.trouble = "no connection";
  CHECK(Describe(silent) == "no connection");
}

TEST_CASE("Replies: Retry-After in seconds") {
  CHECK(ParseRetryAfter("0") == Nanoseconds(0));
  CHECK(ParseRetryAfter("7") == std::chrono::seconds(7));
  CHECK(ParseRetryAfter("999999") == std::chrono::minutes(10));
  for (const char* text :
       {"", "-1", "1.5", "7 ", "x", "99999999999999999999", "Wed, 21 Oct 2026 07:28:00 GMT"}) {
    INFO(text);
    CHECK_FALSE(ParseRetryAfter(text));
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
