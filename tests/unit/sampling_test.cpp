// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "agent/sampling/cpu_weights.h"
#include "agent/sampling/tick_schedule.h"
#include "tests/support/catch.h"

using namespace agent;

TEST_CASE("every period has one tick, at a changing place") {
  const MonotonicTime start{};
  const Nanoseconds period(1000);
  TickSchedule ticks(start, period, 1);
  std::vector<Nanoseconds> places;
  for (int i = 0; i < 1000; ++i) {
    const Nanoseconds at = ticks.next() - (start + period * i);
    REQUIRE(at >= Nanoseconds(0));
    REQUIRE(at < period);
    places.push_back(at);
    CHECK(ticks.Advance(ticks.next()) == 0);
  }
  Nanoseconds sum(0);
  for (const Nanoseconds place : places) sum += place;
  CHECK(sum / 1000 > Nanoseconds(450));
  CHECK(sum / 1000 < Nanoseconds(550));
}

TEST_CASE("ticks that were missed are counted, not made up for") {
  const MonotonicTime start{};
  TickSchedule ticks(start, Nanoseconds(1000), 1);
  CHECK(ticks.Advance(start + Nanoseconds(5500)) == 4);  // periods 1 to 4 have passed
  CHECK(ticks.next() >= start + Nanoseconds(5000));
  CHECK(ticks.next() < start + Nanoseconds(6000));
}

namespace {

struct Given {
  std::uint32_t stack;
  std::int64_t nanoseconds;
  friend bool operator==(const Given&, const Given&) = default;
};

std::vector<Given> Grow(CpuWeights& weights, std::int64_t growth, bool at_once = true) {
  std::vector<Given> given;
  weights.Grow(Nanoseconds(growth), at_once,
               [&](const CpuWeights::Sample& sample, Nanoseconds share) {
                 given.push_back({static_cast<std::uint32_t>(sample.stack), share.count()});
               });
  return given;
}

CpuWeights::Sample SampleOf(std::uint32_t stack) { return {.stack = StackId{stack}, .at = {}}; }

}  // namespace

TEST_CASE("growth is shared by the samples since the growth before, to the last nanosecond") {
  CpuWeights weights;
  for (std::uint32_t i = 0; i < 3; ++i) weights.AddSample(SampleOf(i));
  CHECK(Grow(weights, 0).empty());
  CHECK(Grow(weights, 10) == std::vector<Given>{{0, 4}, {1, 3}, {2, 3}});
  weights.AddSample(SampleOf(9));
  CHECK(Grow(weights, 5) == std::vector<Given>{{9, 5}});
}

TEST_CASE("growth is gathered until the samples are of some time, and shared by all of them") {
  CpuWeights weights;
  WallTime at{std::chrono::seconds(1)};
  // The kernel's figure moves where a short call begins and ends: the sample within gets no less.
  for (std::uint32_t i = 0; i < 50; ++i) {
    weights.AddSample({.stack = StackId{i}, .at = at});
    CHECK(Grow(weights, i % 2 == 0 ? 1'900'000 : 100'000, false).empty());
    at += std::chrono::milliseconds(1);
  }
  weights.AddSample({.stack = StackId{50}, .at = at});
  const std::vector<Given> given = Grow(weights, 1'000'000, false);
  REQUIRE(given.size() == 51);
  for (const Given& one : given) CHECK(one.nanoseconds == 1'000'000);
  CHECK(weights.unclaimed() == Nanoseconds(0));
}

TEST_CASE("growth is shared by the time that each sample stands for") {
  CpuWeights weights;
  weights.AddSample({.stack = StackId{1}, .at = {}, .time = Nanoseconds(3000)});
  weights.AddSample({.stack = StackId{2}, .at = {}, .time = Nanoseconds(1000)});
  CHECK(Grow(weights, 400) == std::vector<Given>{{1, 300}, {2, 100}});
  weights.AddSample({.stack = StackId{1}, .at = {}, .time = Nanoseconds(1)});
  CHECK(Grow(weights, 4'000'000'001) == std::vector<Given>{{1, 4'000'000'001}});
}

TEST_CASE("what a thread was seen in while it waited for a CPU has no share") {
  CpuWeights weights;
  for (std::uint32_t i = 0; i < 3; ++i) {
    weights.AddSample({.stack = StackId{i}, .at = {}, .time = Nanoseconds(1'000'001)});
  }
  weights.Waited(Nanoseconds(1'500'000));
  const std::vector<Given> given = Grow(weights, 1'500'000);
  REQUIRE(given.size() == 3);
  CHECK(given[0].nanoseconds <= 2);
  CHECK((given[1].nanoseconds + 500) / 1000 == 500);
  CHECK((given[2].nanoseconds + 500) / 1000 == 1000);
  // Longer than all that was seen: it had one of them all the same.
  weights.AddSample({.stack = StackId{7}, .at = {}, .time = Nanoseconds(1000)});
  weights.Waited(Nanoseconds(1'000'000));
  CHECK(Grow(weights, 5) == std::vector<Given>{{7, 5}});
}

TEST_CASE("growth without a sample goes to the next one") {
  CpuWeights weights;
  CHECK(Grow(weights, 7).empty());
  CHECK(Grow(weights, 8).empty());
  weights.AddSample(SampleOf(1));
  CHECK(Grow(weights, 0) == std::vector<Given>{{1, 15}});
}
