// SPDX-License-Identifier: Apache-2.0
#include "agent/process/watchdog.h"

#include <algorithm>

#include "tests/support/catch.h"

namespace agent {
namespace {

using std::chrono::milliseconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

const std::function<SamplerCpu()> kAsleep = [] { return SamplerCpu{}; };

std::int64_t Stamp(MonotonicTime time) { return time.time_since_epoch().count(); }

// Looks when the watchdog wants to, from `now` on; returns when it finds a hang, or the first look
// past `until`.
MonotonicTime LookUntilHung(Watchdog& watchdog, const SharedPage& page, MonotonicTime now,
                            MonotonicTime until, bool* hung,
                            const std::function<SamplerCpu()>& read_cpu = kAsleep) {
  while (true) {
    const Watchdog::Verdict verdict = watchdog.Look(page, now, read_cpu);
    *hung = verdict.hung;
    if (verdict.hung || now > until) return now;
    REQUIRE(verdict.next_look > now);
    now = verdict.next_look;
  }
}

TEST_CASE("watchdog: looks about ten times a second while nothing is held") {
  Watchdog watchdog;
  const SharedPage page;
  int looks = 0;
  for (MonotonicTime now = kStart; now < kStart + milliseconds(1000); ++looks) {
    const Watchdog::Verdict verdict = watchdog.Look(page, now, kAsleep);
    CHECK_FALSE(verdict.hung);
    now = verdict.next_look;
  }
  CHECK(looks <= 11);
}

TEST_CASE("watchdog: a hold that hangs is found 120 ms after it began, whenever it began") {
  for (int offset_ms = 0; offset_ms < 100; ++offset_ms) {
    Watchdog watchdog;
    SharedPage page;
    const MonotonicTime next = watchdog.Look(page, kStart, kAsleep).next_look;
    const MonotonicTime began = kStart + milliseconds(offset_ms);
    page.holding_since = Stamp(began);
    bool hung = false;
    const MonotonicTime found =
        LookUntilHung(watchdog, page, std::max(next, began), began + milliseconds(1000), &hung);
    CHECK(hung);
    CHECK(found - began == milliseconds(120));
  }
}

TEST_CASE("watchdog: holds that move are fine, even when the keeper looks late") {
  Watchdog watchdog;
  SharedPage page;
  page.holding_since = Stamp(kStart);
  const MonotonicTime late = kStart + milliseconds(400);  // throttled, both of us
  CHECK_FALSE(watchdog.Look(page, late, kAsleep).hung);
  page.holding_since = Stamp(late + milliseconds(5));
  CHECK_FALSE(watchdog.Look(page, late + milliseconds(20), kAsleep).hung);
  page.holding_since = 0;
  CHECK_FALSE(watchdog.Look(page, late + milliseconds(40), kAsleep).hung);
}

TEST_CASE("watchdog: a pending stop that nobody looks after is found in time") {
  Watchdog watchdog;
  SharedPage page;
  page.pending_since = Stamp(kStart);
  bool hung = false;
  const MonotonicTime found =
      LookUntilHung(watchdog, page, kStart, kStart + milliseconds(3000), &hung);
  CHECK(hung);
  CHECK(found - kStart == milliseconds(170));
}

TEST_CASE("watchdog: a sampler that waits for a CPU is spared for a second") {
  Watchdog watchdog;
  SharedPage page;
  page.holding_since = Stamp(kStart);
  const SamplerCpu cpu{.runnable = true, .run = milliseconds(7)};
  bool hung = false;
  const MonotonicTime found = LookUntilHung(watchdog, page, kStart, kStart + milliseconds(3000),
                                            &hung, [&] { return cpu; });
  CHECK(hung);
  CHECK(found - kStart == milliseconds(1100));
}

TEST_CASE("watchdog: a sampler that got a CPU and let go was not hung") {
  Watchdog watchdog;
  SharedPage page;
  page.holding_since = Stamp(kStart);
  SamplerCpu cpu{.runnable = true, .run = milliseconds(7)};
  bool hung = false;
  MonotonicTime now =
      LookUntilHung(watchdog, page, kStart, kStart + milliseconds(600), &hung, [&] { return cpu; });
  CHECK_FALSE(hung);
  cpu.run += milliseconds(1);
  page.holding_since = Stamp(now);
  CHECK_FALSE(watchdog.Look(page, now + milliseconds(20), [&] { return cpu; }).hung);
  // The next hold begins anew: 120 ms.
  now = LookUntilHung(watchdog, page, now, now + milliseconds(600), &hung, kAsleep);
  CHECK(hung);
}

TEST_CASE("watchdog: a sampler that runs and does not let go hangs") {
  Watchdog watchdog;
  SharedPage page;
  page.holding_since = Stamp(kStart);
  SamplerCpu cpu{.runnable = true, .run = milliseconds(7)};
  bool hung = false;
  const MonotonicTime found =
      LookUntilHung(watchdog, page, kStart, kStart + milliseconds(3000), &hung, [&] {
        cpu.run += milliseconds(1);
        return cpu;
      });
  CHECK(hung);
  CHECK(found - kStart == milliseconds(120));
}

TEST_CASE("watchdog: a pending stop that is looked after is fine") {
  Watchdog watchdog;
  SharedPage page;
  for (MonotonicTime now = kStart; now < kStart + milliseconds(5000); now += milliseconds(50)) {
    page.pending_since = Stamp(now);
    CHECK_FALSE(watchdog.Look(page, now + milliseconds(10), kAsleep).hung);
  }
}

}  // namespace
}  // namespace agent
