// SPDX-License-Identifier: Apache-2.0
#include "agent/report/loss_report.h"

#include "tests/support/catch.h"

using namespace agent;

TEST_CASE("Losses: nothing is said when all is well") {
  CHECK(LossLines({}, 0).empty());
  CHECK(LossLines({.late_ticks = 5, .truncated = 3}, 100).empty());
}

TEST_CASE("Losses: one is one, and only causes that there were are named") {
  const auto lines = LossLines({.unreadable = 1, .late_ticks = 1, .folded = 1}, 1);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "1 sample was lost, 1 was kept: 1 unreadable");
  CHECK(lines[1] == "1 tick was left out: the machine is too busy for this sample rate");
  CHECK(lines[2] == "1 stack is shown as \"[other stacks]\": the profile was full");
}

TEST_CASE("Losses: every cause has its words") {
  const auto lines = LossLines(
      {.torn = 1, .unreadable = 2, .stop_timeout = 3, .late_ticks = 6, .dropped = 4, .folded = 7},
      100);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] ==
        "10 samples were lost, 100 were kept: 1 torn, 2 unreadable, 3 not stopped in time, 4 not "
        "named in time");
  CHECK(lines[1] == "6 ticks were left out: the machine is too busy for this sample rate");
  CHECK(lines[2] == "7 stacks are shown as \"[other stacks]\": the profile was full");
}
