// SPDX-License-Identifier: Apache-2.0
// The texts of /proc.
#include "agent/process/mappings.h"
#include "agent/process/pause_histogram.h"
#include "agent/process/task_stat.h"
#include "agent/sampling/process_tree.h"
#include "tests/support/catch.h"

using namespace agent;

TEST_CASE("mappings are parsed, oddities included") {
  const auto mappings = ParseMappings(
      "55d0c0e00000-55d0c0e01000 r-xp 00001000 fe:01 1234                       "
      "/usr/bin/python3.12\n"
      "7f00-8f00 rw-p 00000000 00:00 0 \n"
      "not a mapping\n"
      "7f10000-7f20000 r--s 00000000 08:02 77     /srv/a b\\012c (deleted)\n"
      "7ffc0000-7ffc1000 rw-p 00000000 00:00 0                          [stack]");
  REQUIRE(mappings.size() == 4);
  CHECK(mappings[0].executable);
  CHECK(mappings[0].offset == FileOffset{0x1000});
  CHECK(mappings[0].device == (std::uint64_t{0xfe} << 32 | 1));
  CHECK(mappings[0].path == "/usr/bin/python3.12");
  CHECK(mappings[1].path.empty());
  CHECK(mappings[2].deleted);
  CHECK(mappings[2].path == "/srv/a b\nc");
  CHECK(mappings[3].path == "[stack]");
}

TEST_CASE("a thread's name cannot forge its state") {
  const auto stat = ParseTaskStat(
      "42 (a) R (b) S 1 42 42 0 -1 4194368 100 0 0 0 5 6 0 0 20 0 1 0 98765 1000 200 "
      "18446744073709551615 111 222 333 0 0 0 0 0 0 0 0 0 17 3 0 0 0 0 0");
  REQUIRE(stat);
  CHECK(stat->comm == "a) R (b");
  CHECK(stat->state == 'S');
  CHECK(stat->parent == Pid{1});
  CHECK((stat->flags & kForkNoExec) != 0);
  CHECK(stat->start_time == 98765);
  CHECK(stat->start_code == 111);
  CHECK(stat->start_stack == 333);
  CHECK(stat->cpu == 3);
}

TEST_CASE("broken stat and schedstat are errors") {
  CHECK_FALSE(ParseTaskStat(""));
  CHECK_FALSE(ParseTaskStat("42 (a) R 1 2"));
  CHECK_FALSE(ParseSchedStat("12 34"));
  const auto sched = ParseSchedStat("7462004 5549370 3\n");
  REQUIRE(sched);
  CHECK(sched->run == Nanoseconds(7462004));
  CHECK(sched->slices == 3);
}

TEST_CASE("how often a thread went to sleep is read from its status") {
  const auto sleeps = ParseVoluntarySwitches(
      "Name:\tx\nvoluntary_ctxt_switches:\t17\nnonvoluntary_ctxt_switches:\t4\n");
  REQUIRE(sleeps);
  CHECK(*sleeps == 17);
  CHECK_FALSE(ParseVoluntarySwitches("Name:\tx\nnonvoluntary_ctxt_switches:\t4\n"));
  CHECK_FALSE(ParseVoluntarySwitches("Name:\tx\nvoluntary_ctxt_switches:\t"));
}

TEST_CASE("a task's place is read with its id in the innermost namespace") {
  const auto place = ParseTaskPlace(
      "Name:\tx\nUmask:\t0022\nState:\tR\nTgid:\t500\nNgid:\t0\nPid:\t501\nPPid:\t400\n"
      "TracerPid:\t0\nNStgid:\t500\t7\nNSpid:\t501\t8\n");
  REQUIRE(place);
  CHECK(place->process == Pid{500});
  CHECK(place->parent == Pid{400});
  CHECK(place->inner_tid == InnerTid{8});
  CHECK_FALSE(ParseTaskPlace("Name:\tx\n"));
}

TEST_CASE("the histogram's quantiles lie within a factor of two") {
  PauseHistogram pauses;
  for (int i = 0; i < 99; ++i) pauses.Add(Nanoseconds(30'000));
  pauses.Add(Nanoseconds(5'000'000));
  CHECK(pauses.Quantile(0.5) >= Nanoseconds(30'000));
  CHECK(pauses.Quantile(0.5) < Nanoseconds(60'000));
  CHECK(pauses.max() == Nanoseconds(5'000'000));
  CHECK(pauses.Quantile(1) == pauses.max());
}
