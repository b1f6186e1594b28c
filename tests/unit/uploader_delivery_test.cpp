// SPDX-License-Identifier: Apache-2.0
// The queue and its retries, with time turned by hand.
#include <memory>
#include <string>
#include <utility>

#include "tests/support/catch.h"
#include "uploader/delivery.h"

using namespace agent;
using namespace std::chrono_literals;

namespace {

const WallTime kWall{std::chrono::seconds(1'700'000'000)};
const MonotonicTime kNow{std::chrono::seconds(1000)};

Delivery MakeDelivery(std::size_t max_bytes = 1000) {
  return Delivery("http://server:4040", max_bytes, Backoff([] { return 1.0; }));
}

Batch Window(std::string body, Nanoseconds after = 0s) {
  return {.body = std::move(body), .time = kWall + after, .samples = 10};
}

Reply Status(int status, std::string body = {}) {
  Reply reply;
  reply.status = status;
  reply.body = std::move(body);
  return reply;
}

Reply NoAnswer() {
  Reply reply;
  reply.trouble = "connection refused";
  return reply;
}

std::string TakenBody(Delivery& delivery, Nanoseconds after = 0s) {
  const auto batch = delivery.Take(kWall + after);
  return batch != nullptr ? batch->body : "(none)";
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("Delivery: what is queued is sent in its order, at once") {
  Delivery delivery = MakeDelivery();
  CHECK(delivery.Idle());
  CHECK(delivery.NextTry() == MonotonicTime::max());
  delivery.Push(Window("a"));
  delivery.Push(Window("b", 10s));
  CHECK(delivery.NextTry() <= kNow);
  CHECK(TakenBody(delivery) == "a");
  CHECK(delivery.NextTry() == MonotonicTime::max());  // one at a time
  CHECK_FALSE(delivery.Answer(Status(200), kNow));
  CHECK(TakenBody(delivery) == "b");
  CHECK_FALSE(delivery.Idle());
  CHECK_FALSE(delivery.Answer(Status(200), kNow));
  CHECK(delivery.Idle());

  const UploadCounters counters = delivery.Close();
  CHECK(counters.windows_sent == 2);
  CHECK(counters.samples_sent == 20);
  CHECK(counters.windows_retried == 0);
  CHECK(counters.windows_lost == 0);
  CHECK(counters.last_error.empty());
}

TEST_CASE("Delivery: without an answer the same bytes go again, later and later") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  const auto first = delivery.Take(kWall);
  (void)delivery.Answer(NoAnswer(), kNow);
  CHECK(delivery.NextTry() == kNow + 500ms);
  const auto second = delivery.Take(kWall);
  CHECK(second == first);
  (void)delivery.Answer(Status(503), kNow + 1s);
  CHECK(delivery.NextTry() == kNow + 1s + 1s);
  CHECK(TakenBody(delivery) == "a");
  (void)delivery.Answer(Status(200), kNow + 2s);

  delivery.Push(Window("b", 10s));
  CHECK(TakenBody(delivery) == "b");
  (void)delivery.Answer(NoAnswer(), kNow + 9s);
  CHECK(delivery.NextTry() == kNow + 9s + 500ms);  // anew from the shortest wait

  const UploadCounters counters = delivery.Close();
  CHECK(counters.windows_sent == 1);
  CHECK(counters.windows_retried == 2);
  CHECK(counters.windows_lost == 1);
  CHECK(counters.samples_lost == 10);
  CHECK(counters.last_error == "connection refused");
}

TEST_CASE("Delivery: no try before the time that the server asks for") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  (void)delivery.Take(kWall);
  Reply reply = Status(429);
  reply.retry_after = 7s;
  (void)delivery.Answer(reply, kNow);
  CHECK(delivery.NextTry() >= kNow + 7s);
  CHECK(delivery.NextTry() <= kNow + 8s);
}

TEST_CASE("Delivery: what is refused is never tried again, and the next goes at once") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  delivery.Push(Window("b", 10s));
  CHECK(TakenBody(delivery) == "a");
  const auto notice = delivery.Answer(Status(422, "profile is malformed"), kNow);
  REQUIRE(notice);
  CHECK(notice->level == LogLevel::kWarn);
  CHECK(Contains(notice->text, "http://server:4040"));
  CHECK(Contains(notice->text, "profile is malformed"));
  CHECK(delivery.NextTry() <= kNow);
  CHECK(TakenBody(delivery) == "b");
  CHECK_FALSE(delivery.Answer(Status(422, "profile is malformed"), kNow));  // said once
  CHECK(delivery.Idle());
  CHECK(delivery.Close().windows_lost == 2);
}

TEST_CASE("Delivery: a redirect is refused with the place that it leads to") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  (void)delivery.Take(kWall);
  Reply reply = Status(308);
  reply.location = "https://other/";
  const auto notice = delivery.Answer(reply, kNow);
  REQUIRE(notice);
  CHECK(Contains(notice->text, "redirect to https://other/"));
  CHECK(delivery.Idle());
}

TEST_CASE("Delivery: a failure is told once, and that it is over") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  (void)delivery.Take(kWall);
  auto notice = delivery.Answer(NoAnswer(), kNow);
  REQUIRE(notice);
  CHECK(notice->level == LogLevel::kWarn);
  CHECK(Contains(notice->text,
                 "cannot send to http://server:4040: connection refused; trying again"));
  (void)delivery.Take(kWall);
  notice = delivery.Answer(NoAnswer(), kNow);
  CHECK((!notice || notice->level == LogLevel::kDebug));
  (void)delivery.Take(kWall);
  notice = delivery.Answer(Status(200), kNow);
  REQUIRE(notice);
  CHECK(notice->level == LogLevel::kInfo);
  delivery.Push(Window("b"));
  (void)delivery.Take(kWall);
  CHECK_FALSE(delivery.Answer(Status(200), kNow));
}

TEST_CASE("Delivery: a full queue drops its oldest, never the newest") {
  Delivery delivery = MakeDelivery(10);
  delivery.Push(Window("aaaa"));
  delivery.Push(Window("bbbb", 10s));
  delivery.Push(Window("cccc", 20s));
  CHECK(TakenBody(delivery) == "bbbb");
  (void)delivery.Answer(NoAnswer(), kNow);
  delivery.Push(Window(std::string(20, 'd'), 30s));
  CHECK(TakenBody(delivery) == std::string(20, 'd'));
  (void)delivery.Answer(Status(200), kNow);
  CHECK(delivery.Idle());
  const UploadCounters counters = delivery.Close();
  CHECK(counters.windows_sent == 1);
  CHECK(counters.windows_lost == 3);
  CHECK(counters.samples_lost == 30);
}

TEST_CASE("Delivery: what is under way counts against the queue's size") {
  Delivery delivery = MakeDelivery(10);
  delivery.Push(Window("aaaa"));
  CHECK(TakenBody(delivery) == "aaaa");
  delivery.Push(Window("bbbb", 10s));
  delivery.Push(Window("cccc", 20s));
  (void)delivery.Answer(Status(200), kNow);
  CHECK(TakenBody(delivery) == "cccc");
  (void)delivery.Answer(Status(200), kNow);
  // All of its bytes are free again.
  delivery.Push(Window("ddddd", 30s));
  delivery.Push(Window("eeeee", 40s));
  CHECK(TakenBody(delivery) == "ddddd");
  CHECK(delivery.Close().windows_lost == 3);
}

TEST_CASE("Delivery: a window that servers would find too old is given up") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  delivery.Push(Window("b", 2min));
  CHECK(TakenBody(delivery, 58min) == "a");
  (void)delivery.Answer(NoAnswer(), kNow);
  CHECK(TakenBody(delivery, 1h) == "b");
  (void)delivery.Answer(NoAnswer(), kNow);
  CHECK(TakenBody(delivery, 2h) == "(none)");
  CHECK(delivery.Idle());
  CHECK(delivery.Close().windows_lost == 2);
}

TEST_CASE("Delivery: a window that makes the server fail lets the others pass") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  delivery.Push(Window("b", 10s));
  CHECK(TakenBody(delivery) == "a");
  (void)delivery.Answer(Status(500), kNow);
  CHECK(TakenBody(delivery) == "b");
  (void)delivery.Answer(Status(200), kNow);
  CHECK(TakenBody(delivery) == "a");
}

TEST_CASE("Delivery: at the end waits are cut short, and short") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  for (int i = 0; i < 6; ++i) {
    (void)delivery.Take(kWall);
    (void)delivery.Answer(NoAnswer(), kNow);
  }
  CHECK(delivery.NextTry() > kNow + 10s);
  delivery.Hurry();
  CHECK(delivery.NextTry() <= kNow);
  (void)delivery.Take(kWall);
  (void)delivery.Answer(NoAnswer(), kNow);
  CHECK(delivery.NextTry() == kNow + 500ms);
}

TEST_CASE("Delivery: what is left at the end is lost, what is under way included") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window("a"));
  delivery.Push(Window("b", 10s));
  CHECK(TakenBody(delivery) == "a");
  const UploadCounters counters = delivery.Close();
  CHECK(counters.windows_lost == 2);
  CHECK(counters.samples_lost == 20);
  CHECK_FALSE(counters.last_error.empty());
}
