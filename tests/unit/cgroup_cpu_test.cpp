// SPDX-License-Identifier: Apache-2.0
#include "agent/process/cgroup_cpu.h"

#include "tests/support/catch.h"

using namespace agent;

TEST_CASE("cgroup: where cpu.stat may be, version 2") {
  const auto places = CpuStatPlaces("0::/system.slice/app.service\n");
  REQUIRE(places.size() == 2);
  CHECK(places[0] == "/sys/fs/cgroup/system.slice/app.service/cpu.stat");
  CHECK(places[1] == "/sys/fs/cgroup/cpu.stat");
  CHECK(CpuStatPlaces("0::/\n")[0] == "/sys/fs/cgroup/cpu.stat");
}

TEST_CASE("cgroup: the controller cpu of version 1 before what else there is") {
  const auto places = CpuStatPlaces(
      "5:cpuset:/other\n"
      "4:cpu,cpuacct:/docker/12ab\n"
      "0::/docker/12ab\n");
  REQUIRE(places.size() == 5);
  CHECK(places[0] == "/sys/fs/cgroup/cpu,cpuacct/docker/12ab/cpu.stat");
  CHECK(places[1] == "/sys/fs/cgroup/cpu/docker/12ab/cpu.stat");
  CHECK(places[2] == "/sys/fs/cgroup/cpu,cpuacct/cpu.stat");
}

TEST_CASE("cgroup: what is no line of /proc/PID/cgroup is passed over") {
  CHECK(CpuStatPlaces("").empty());
  CHECK(CpuStatPlaces("nonsense\n:\n7\n").empty());
}

TEST_CASE("cgroup: cpu.stat of version 2 and 1") {
  const auto second = ParseCpuStat(
      "usage_usec 100\nnr_periods 30\nnr_throttled 4\nthrottled_usec 2500\nnr_bursts 0\n");
  REQUIRE(second);
  CHECK(second->periods == 30);
  CHECK(second->throttled_periods == 4);
  CHECK(second->throttled == std::chrono::microseconds(2500));
  const auto first = ParseCpuStat("nr_periods 3\nnr_throttled 1\nthrottled_time 77\n");
  REQUIRE(first);
  CHECK(first->throttled == Nanoseconds(77));
}

TEST_CASE("cgroup: without a quota there is nothing to tell") {
  CHECK_FALSE(ParseCpuStat("usage_usec 100\nuser_usec 70\n"));
  CHECK_FALSE(ParseCpuStat("nr_periods none\n"));
  CHECK_FALSE(ReadCpuThrottling(""));
  CHECK_FALSE(ReadCpuThrottling("/nowhere/cpu.stat"));
}
