// SPDX-License-Identifier: Apache-2.0
// Ten minutes of a server that refuses, hangs, limits and returns at random, in no time: each
// sample is there once, or counted as lost or unknown.
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "agent/format/loaded_profile.h"
#include "tests/support/catch.h"
#include "tests/support/upload_windows.h"
#include "uploader/delivery.h"

using namespace agent;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kPerWindow = 10;

enum class Mood {
  kWell,
  kGone,
  kHangs,
  kTakesAndHangs,
  kBusy,
  kLimits,
  kFails,
  kGateway,
  kRefuses
};

// Stores as a server does: what has the time of another is dropped.
struct FakeServer {
  std::set<WallTime> known;
  std::map<std::string, std::int64_t> stored;  // samples by function

  void Store(const UploadWindow& window) {
    if (!known.insert(window.start).second) return;
    const auto profile = DecodePprof(*UnpackWindow(window));
    REQUIRE(profile);
    for (const Profile::Entry& entry : (*profile)->profile.Entries()) {
      const Frame& leaf = (*profile)->profile.StackFrames(entry.key.stack).front();
      stored[leaf.function->name] += entry.value.count;
    }
  }
  std::int64_t Total() const {
    std::int64_t total = 0;
    for (const auto& [name, count] : stored) total += count;
    return total;
  }
};

class Campaign {
 public:
  explicit Campaign(unsigned seed)
      : random_(seed),
        delivery_("http://server", {.memory = kQueueBytes}, Backoff([this] { return Chance(); })) {}

  void Run(Nanoseconds duration) {
    const MonotonicTime end = now_ + duration;
    while (now_ < end) {
      now_ = std::max(now_, std::min({next_window_, delivery_.NextTry(), next_mood_}));
      if (now_ >= next_mood_) ChangeMood();
      for (; next_window_ <= now_; next_window_ += 1s) PushNext();
      if (delivery_.NextTry() <= now_) Try(10s);
    }
    delivery_.Hurry();
    for (int i = 0; i < 5 && !delivery_.Idle(); ++i) Try(100ms);
    delivery_.Close();
  }

  [[nodiscard]] UploadCounters Counters() const { return delivery_.Counters(); }
  FakeServer server;
  std::int64_t written = 0;

 private:
  static constexpr std::size_t kQueueBytes = 4000;

  double Chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

  void ChangeMood() {
    mood_ = static_cast<Mood>(std::uniform_int_distribution<int>(0, 12)(random_) % 9);
    next_mood_ = now_ + Nanoseconds(static_cast<std::int64_t>(2e9 + Chance() * 40e9));
  }

  // Each has a stack of its own, and one that all have.
  void PushNext() {
    const int number = static_cast<int>(written / kPerWindow);
    UploadWindow window = MakeUploadWindow(WallAt(next_window_), 1, kPerWindow, number);
    delivery_.Push(std::move(window));
    written += kPerWindow;
    CHECK(delivery_.Counters().queued_bytes <= kQueueBytes + kInFlight);
  }

  [[nodiscard]] static WallTime WallAt(MonotonicTime time) {
    return WallTime(1'700'000'000s + time.time_since_epoch());
  }

  void Try(Nanoseconds limit) {
    std::optional<Attempt> attempt = delivery_.Take(WallAt(now_));
    if (!attempt) return;
    if (attempt->request == nullptr) {
      Result<HttpRequest> made = MakeUploadRequest(attempt->window, attempt->format);
      REQUIRE(made);
      delivery_.Made(std::make_shared<const HttpRequest>(*std::move(made)));
    }
    const Reply reply = Answer(attempt->window, limit);
    (void)delivery_.Answer(reply, now_);
    (void)delivery_.Report(now_);
  }

  Reply Answer(const UploadWindow& window, Nanoseconds limit) {
    now_ += 5ms;
    switch (mood_) {
      case Mood::kWell:
        server.Store(window);
        return StatusReply(200);
      case Mood::kGone:
        return NoReply(false);
      case Mood::kTakesAndHangs:
        server.Store(window);
        [[fallthrough]];
      case Mood::kHangs:
        now_ += limit;
        return NoReply(true);
      case Mood::kBusy:
        return StatusReply(503);
      case Mood::kLimits: {
        Reply reply = StatusReply(429);
        reply.retry_after = 3s;
        return reply;
      }
      case Mood::kFails:
        return StatusReply(500);
      case Mood::kGateway:
        if (Chance() < 0.5) server.Store(window);
        return StatusReply(502);
      case Mood::kRefuses:
        return StatusReply(422);
    }
    return NoReply(false);
  }

  // The request of what is under way, and a window that is above the bound by itself.
  static constexpr std::size_t kInFlight = 4000;

  std::minstd_rand random_;
  Delivery delivery_;
  MonotonicTime now_{1000s};
  MonotonicTime next_window_{1000s};
  MonotonicTime next_mood_{1000s};
  Mood mood_ = Mood::kWell;
};

}  // namespace

TEST_CASE("Campaign: over ten minutes of faults every sample is accounted for, and none is twice") {
  UploadCounters all;
  for (unsigned seed = 1; seed <= 8; ++seed) {
    INFO("seed " << seed);
    Campaign campaign(seed);
    campaign.Run(10min);
    const UploadCounters counters = campaign.Counters();
    const auto written = static_cast<std::uint64_t>(campaign.written);
    const auto stored = static_cast<std::uint64_t>(campaign.server.Total());
    CHECK(written >= 580 * kPerWindow);
    CHECK(counters.sent.samples + counters.AllLost().samples + counters.unknown.samples == written);
    CHECK(stored >= counters.sent.samples);
    CHECK(stored <= counters.sent.samples + counters.unknown.samples);
    for (const auto& [name, count] : campaign.server.stored) CHECK(count <= kPerWindow);
    CHECK(counters.sent.samples > written / 10);
    all.merged += counters.merged;
    all.retried += counters.retried;
    all.unknown += counters.unknown;
    all.lost[0] += counters.lost[0];
  }
  // It was no walk in the park.
  CHECK(all.merged > 0);
  CHECK(all.retried > 0);
  CHECK(all.unknown.windows > 0);
  CHECK(all.lost[0].windows > 0);
}
