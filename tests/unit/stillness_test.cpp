// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/stillness.h"

#include "tests/support/catch.h"

using agent::Stillness;

namespace {

// `count` readings, of which every `period`-th is refused; 0: none.
void See(Stillness& stillness, int count, int period) {
  for (int i = 0; i < count; ++i) stillness.See(period != 0 && i % period == 0);
}

int StopsUntilReading(Stillness& stillness) {
  int stops = 1;
  while (!stillness.WantsReading()) ++stops;
  return stops;
}

}  // namespace

TEST_CASE("Stillness: a refused reading now and then needs no stops") {
  Stillness stillness;
  CHECK_FALSE(stillness.NeedsStop());
  See(stillness, 100'000, 100);
  CHECK_FALSE(stillness.NeedsStop());
}

TEST_CASE("Stillness: more than a share of 2 % does") {
  for (const int period : {25, 5, 1}) {
    Stillness stillness;
    See(stillness, 1000, period);
    CHECK(stillness.NeedsStop());
  }
}

TEST_CASE("Stillness: the first samples of a program that calls often need stops at once") {
  Stillness stillness;
  stillness.See(true);
  stillness.See(true);
  CHECK(stillness.NeedsStop());
}

TEST_CASE("Stillness: what stands still again is seen by readings behind every eighth stop") {
  Stillness stillness;
  CHECK_FALSE(stillness.WantsReading());
  See(stillness, 2, 1);
  REQUIRE(stillness.NeedsStop());
  CHECK(StopsUntilReading(stillness) <= 8);
  CHECK(StopsUntilReading(stillness) == 8);
  See(stillness, 49, 0);
  stillness.See(true);
  See(stillness, 49, 0);
  CHECK(stillness.NeedsStop());
  See(stillness, 2, 0);
  CHECK_FALSE(stillness.NeedsStop());
}

TEST_CASE("Stillness: what stands still beside us is judged anew now and then, by one reading") {
  Stillness stillness;
  for (int i = 0; i < 10; ++i) stillness.See(true);
  REQUIRE(stillness.NeedsStop());
  int samples = 0;
  for (; stillness.NeedsStop() && samples < 100'000; ++samples) stillness.SeeStanding();
  CHECK(samples == 2000);
  stillness.See(true);
  CHECK(stillness.NeedsStop());
}
