// SPDX-License-Identifier: Apache-2.0
// The queue and its retries, with time turned by hand.
#include <memory>
#include <string>
#include <utility>

#include "agent/format/loaded_profile.h"
#include "tests/support/catch.h"
#include "tests/support/upload_windows.h"
#include "uploader/delivery.h"

using namespace agent;
using namespace std::chrono_literals;

namespace {

const WallTime kWall{std::chrono::seconds(1'700'000'000)};
const MonotonicTime kNow{std::chrono::seconds(1000)};
constexpr UploadFormat kPush = UploadFormat::kPush;

Delivery MakeDelivery(std::size_t max_bytes = 1u << 20,
                      std::vector<UploadFormat> formats = {kPush}) {
  return {
      "http://server:4040", {.memory = max_bytes}, Backoff([] { return 1.0; }), std::move(formats)};
}

// The window that begins `after` the first, and is told by that.
UploadWindow Window(Nanoseconds after, int stacks = 1) {
  return MakeUploadWindow(kWall + after, stacks);
}

// Takes, as the sender does: when the window begins, or a second before the first for none.
Nanoseconds Taken(Delivery& delivery, Nanoseconds after = 0s) {
  const std::optional<Attempt> attempt = delivery.Take(kWall + after);
  if (!attempt) return -1s;
  if (attempt->request == nullptr) {
    Result<HttpRequest> made = MakeUploadRequest(attempt->window, attempt->format);
    REQUIRE(made);
    delivery.Made(std::make_shared<const HttpRequest>(*std::move(made)));
  }
  return attempt->window.start - kWall;
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

UploadCounters Closed(Delivery& delivery) {
  delivery.Close();
  return delivery.Counters();
}

}  // namespace

TEST_CASE("Delivery: what is queued is sent in its order, at once") {
  Delivery delivery = MakeDelivery();
  CHECK(delivery.Idle());
  CHECK(delivery.NextTry() == MonotonicTime::max());
  delivery.Push(Window(0s));
  delivery.Push(Window(10s));
  CHECK(delivery.NextTry() <= kNow);
  CHECK(Taken(delivery) == 0s);
  CHECK(delivery.NextTry() == MonotonicTime::max());  // one at a time
  CHECK_FALSE(delivery.Answer(StatusReply(200), kNow));
  CHECK(Taken(delivery) == 10s);
  CHECK_FALSE(delivery.Idle());
  CHECK_FALSE(delivery.Answer(StatusReply(200), kNow));
  CHECK(delivery.Idle());

  const UploadCounters counters = Closed(delivery);
  CHECK(counters.sent == Tally{.windows = 2, .samples = 20});
  CHECK(counters.retried == 0);
  CHECK(counters.AllLost() == Tally{});
  CHECK(counters.queued_bytes == 0);
  CHECK(counters.last_error.empty());
}

TEST_CASE("Delivery: without an answer the same bytes go again, later and later") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  CHECK(Taken(delivery) == 0s);
  (void)delivery.Answer(NoReply(true), kNow);
  CHECK(delivery.NextTry() == kNow + 500ms);
  const auto second = delivery.Take(kWall);
  REQUIRE(second->request != nullptr);
  (void)delivery.Answer(StatusReply(503), kNow + 1s);
  CHECK(delivery.NextTry() == kNow + 1s + 1s);
  CHECK(delivery.Take(kWall)->request == second->request);
  (void)delivery.Answer(StatusReply(200), kNow + 2s);

  delivery.Push(Window(10s));
  CHECK(Taken(delivery) == 10s);
  (void)delivery.Answer(NoReply(false), kNow + 9s);
  CHECK(delivery.NextTry() == kNow + 9s + 500ms);  // anew from the shortest wait

  const UploadCounters counters = Closed(delivery);
  CHECK(counters.sent.windows == 1);
  CHECK(counters.retried == 2);
  CHECK(counters.AllLost() == Tally{.windows = 1, .samples = 10});
  CHECK(counters.last_error == "connection refused");
}

TEST_CASE("Delivery: no try before the time that the server asks for") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  (void)Taken(delivery);
  Reply reply = StatusReply(429);
  reply.retry_after = 7s;
  (void)delivery.Answer(reply, kNow);
  CHECK(delivery.NextTry() >= kNow + 7s);
  CHECK(delivery.NextTry() <= kNow + 8s);
}

TEST_CASE("Delivery: what is refused is never tried again, and the next goes at once") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  delivery.Push(Window(10s));
  CHECK(Taken(delivery) == 0s);
  const auto notice = delivery.Answer(StatusReply(422, "profile is malformed"), kNow);
  REQUIRE(notice);
  CHECK(notice->level == LogLevel::kWarn);
  CHECK(Contains(notice->text, "http://server:4040"));
  CHECK(Contains(notice->text, "profile is malformed"));
  CHECK(delivery.NextTry() <= kNow);
  CHECK(Taken(delivery) == 10s);
  CHECK_FALSE(delivery.Answer(StatusReply(422, "profile is malformed"), kNow));  // said once
  CHECK(delivery.Idle());
  CHECK(Closed(delivery).Lost(LossCause::kRefused) == Tally{.windows = 2, .samples = 20});
}

TEST_CASE("Delivery: a redirect is refused with the place that it leads to") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  (void)Taken(delivery);
  Reply reply = StatusReply(308);
  reply.location = "https://other/";
  const auto notice = delivery.Answer(reply, kNow);
  REQUIRE(notice);
  CHECK(Contains(notice->text, "redirect to https://other/"));
  CHECK(delivery.Idle());
}

TEST_CASE("Delivery: a failure is told once, and that it is over") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  (void)Taken(delivery);
  auto notice = delivery.Answer(NoReply(false), kNow);
  REQUIRE(notice);
  CHECK(notice->level == LogLevel::kWarn);
  CHECK(Contains(notice->text,
                 "cannot send to http://server:4040: connection refused; trying again"));
  (void)Taken(delivery);
  notice = delivery.Answer(NoReply(false), kNow);
  CHECK((!notice || notice->level == LogLevel::kDebug));
  (void)Taken(delivery);
  notice = delivery.Answer(StatusReply(200), kNow);
  REQUIRE(notice);
  CHECK(notice->level == LogLevel::kInfo);
  delivery.Push(Window(10s));
  (void)Taken(delivery);
  CHECK_FALSE(delivery.Answer(StatusReply(200), kNow));
}

TEST_CASE("Delivery: a full queue merges what was never sent, and loses nothing") {
  const std::size_t one = Window(0s, 50).pprof->size();
  Delivery delivery = MakeDelivery(3 * one);
  for (int i = 0; i < 30; ++i) {
    delivery.Push(Window(i * 10s, 50));
    CHECK(delivery.Counters().queued_bytes <= 3 * one);
  }
  UploadCounters counters = delivery.Counters();
  CHECK(counters.merged > 20);
  CHECK(counters.AllLost() == Tally{});
  std::int64_t samples = 0;
  Nanoseconds last = -1s;
  while (true) {
    const std::optional<Attempt> attempt = delivery.Take(kWall);
    if (!attempt) break;
    delivery.Made(std::make_shared<const HttpRequest>());
    CHECK(attempt->window.start - kWall > last);
    last = attempt->window.start - kWall;
    const auto profile = DecodePprof(*UnpackWindow(attempt->window));
    REQUIRE(profile);
    CHECK((*profile)->profile.start() == attempt->window.start);
    CHECK((*profile)->profile.duration() == attempt->window.duration);
    CHECK((*profile)->profile.Total().count == attempt->window.samples);
    samples += attempt->window.samples;
    (void)delivery.Answer(StatusReply(200), kNow);
  }
  CHECK(samples == 15'000);
  counters = Closed(delivery);
  CHECK(counters.sent == Tally{.windows = 30 - counters.merged, .samples = 15'000});
}

TEST_CASE("Delivery: what was sent is not merged, nor what has other labels") {
  Delivery delivery = MakeDelivery(1);
  delivery.Push(Window(0s));
  CHECK(Taken(delivery) == 0s);
  (void)delivery.Answer(NoReply(true), kNow);
  UploadWindow other = MakeUploadWindow(kWall + 10s, 1, 10, 0, {{"service_name", "other"}});
  delivery.Push(std::move(other));
  delivery.Push(Window(20s));
  const UploadCounters counters = delivery.Counters();
  CHECK(counters.merged == 0);
  CHECK(counters.unknown == Tally{.windows = 1, .samples = 10});  // the server may have it
  CHECK(Tally(counters.lost[static_cast<std::size_t>(LossCause::kQueueFull)]) ==
        Tally{.windows = 1, .samples = 10});
  CHECK(Taken(delivery) == 20s);  // the newest is always kept
}

TEST_CASE("Delivery: what was tried, but never reached the server, may be merged") {
  Delivery delivery = MakeDelivery(1);
  delivery.Push(Window(0s));
  CHECK(Taken(delivery) == 0s);
  (void)delivery.Answer(NoReply(false), kNow);
  delivery.Push(Window(10s));
  CHECK(delivery.Counters().merged == 1);
  CHECK(delivery.Counters().AllLost() == Tally{});
}

TEST_CASE("Delivery: merged windows stay within the server's limits") {
  // Together they are above 16,000 samples.
  const UploadWindow first = MakeUploadWindow(kWall, 9'000, 1, 0);
  const UploadWindow second = MakeUploadWindow(kWall + 10s, 9'000, 1, 9'000);
  CHECK_FALSE(MergeWindows(first, second));
  // These are the same stacks.
  const auto merged = MergeWindows(first, MakeUploadWindow(kWall + 10s, 9'000, 1, 0));
  REQUIRE(merged);
  CHECK(merged->samples == 18'000);
  CHECK(merged->start == kWall);
  CHECK(merged->duration == 20s);
}

TEST_CASE("Delivery: an hour without a server stays within the bound, and is merged") {
  const std::size_t one = Window(0s, 200).pprof->size();
  Delivery delivery = MakeDelivery(20 * one);
  for (int i = 0; i < 350; ++i) {
    delivery.Push(Window(i * 10s, 200));
    REQUIRE(delivery.Counters().queued_bytes <= 20 * one);
  }
  CHECK(delivery.Counters().AllLost() == Tally{});
}

TEST_CASE("Delivery: a window that servers would find too old is given up") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  delivery.Push(Window(2min));
  CHECK(Taken(delivery, 58min) == 0s);
  (void)delivery.Answer(NoReply(false), kNow);
  CHECK(Taken(delivery, 1h) == 2min);
  (void)delivery.Answer(NoReply(true), kNow);
  CHECK(Taken(delivery, 2h) == -1s);
  CHECK(delivery.Idle());
  UploadCounters counters = Closed(delivery);
  CHECK(counters.Lost(LossCause::kTooOld).windows == 1);
  CHECK(counters.unknown.windows == 1);
}

TEST_CASE("Delivery: a window that makes the server fail lets the others pass, and is given up") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  delivery.Push(Window(10s));
  CHECK(Taken(delivery) == 0s);
  (void)delivery.Answer(StatusReply(500), kNow);
  CHECK(Taken(delivery) == 10s);
  (void)delivery.Answer(StatusReply(200), kNow);
  for (int i = 1; i < Delivery::kMaxFailures; ++i) {
    CHECK(Taken(delivery) == 0s);
    (void)delivery.Answer(StatusReply(500), kNow);
  }
  CHECK(delivery.Idle());
  CHECK(Closed(delivery).Lost(LossCause::kTriesSpent).windows == 1);
}

TEST_CASE("Delivery: auto takes the first format that the server knows, and stays with it") {
  Delivery delivery = MakeDelivery(1u << 20, ParseUploadFormat("auto"));
  delivery.Push(Window(0s));
  const auto format_of_next = [&] {
    const auto attempt = delivery.Take(kWall);
    REQUIRE(attempt);
    Result<HttpRequest> made = MakeUploadRequest(attempt->window, attempt->format);
    REQUIRE(made);
    delivery.Made(std::make_shared<const HttpRequest>(*std::move(made)));
    return attempt->format;
  };
  CHECK(format_of_next() == UploadFormat::kPush);
  const auto notice = delivery.Answer(StatusReply(404), kNow);
  REQUIRE(notice);
  CHECK(Contains(notice->text, "does not know the format push (status 404): pprof is tried"));
  CHECK(delivery.NextTry() <= kNow);
  CHECK(format_of_next() == UploadFormat::kPprof);
  Reply page = StatusReply(200);
  page.content_type = "text/html";
  (void)delivery.Answer(page, kNow);
  CHECK(format_of_next() == UploadFormat::kFolded);
  CHECK_FALSE(delivery.Answer(StatusReply(200), kNow));
  delivery.Push(Window(10s));
  CHECK(format_of_next() == UploadFormat::kFolded);
  // It took that before: it is only away for the moment.
  REQUIRE(delivery.Answer(StatusReply(404), kNow));
  CHECK_FALSE(delivery.Idle());
  CHECK(delivery.NextTry() > kNow);
  const UploadCounters counters = Closed(delivery);
  CHECK(counters.sent.windows == 1);
}

TEST_CASE("Delivery: a server that knows no format is told of once, and begun with anew") {
  Delivery delivery = MakeDelivery(1u << 20, ParseUploadFormat("auto"));
  for (int window = 0; window < 2; ++window) {
    delivery.Push(Window(window * 10s));
    for (int i = 0; i < 3; ++i) {
      CHECK(Taken(delivery) == window * 10s);
      const auto notice = delivery.Answer(StatusReply(404), kNow);
      if (i == 2) CHECK(notice.has_value() == (window == 0));
    }
    CHECK(delivery.Idle());
  }
}

TEST_CASE("Delivery: losses are told once a minute") {
  Delivery delivery = MakeDelivery();
  CHECK_FALSE(delivery.Report(kNow));
  delivery.Push(Window(0s));
  (void)Taken(delivery);
  (void)delivery.Answer(StatusReply(400, "bad"), kNow);
  CHECK_FALSE(delivery.Report(kNow + 59s));
  const auto notice = delivery.Report(kNow + 61s);
  REQUIRE(notice);
  CHECK(Contains(notice->text, "1 profile with 10 samples lost (refused 1)"));
  CHECK_FALSE(delivery.Report(kNow + 10min));  // nothing new
}

TEST_CASE("Delivery: at the end waits are cut short, and short") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  for (int i = 0; i < 6; ++i) {
    (void)Taken(delivery);
    (void)delivery.Answer(NoReply(true), kNow);
  }
  CHECK(delivery.NextTry() > kNow + 10s);
  delivery.Hurry();
  CHECK(delivery.NextTry() <= kNow);
  (void)Taken(delivery);
  (void)delivery.Answer(NoReply(true), kNow);
  CHECK(delivery.NextTry() == kNow + 500ms);
}

TEST_CASE("Delivery: what is left at the end is lost, what is under way unknown") {
  Delivery delivery = MakeDelivery();
  delivery.Push(Window(0s));
  delivery.Push(Window(10s));
  CHECK(Taken(delivery) == 0s);
  UploadCounters counters = Closed(delivery);
  CHECK(counters.Lost(LossCause::kEnd) == Tally{.windows = 1, .samples = 10});
  CHECK(counters.unknown == Tally{.windows = 1, .samples = 10});
  CHECK_FALSE(counters.last_error.empty());
}
