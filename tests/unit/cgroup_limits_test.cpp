// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/cli/container_bounds.h"
#include "agent/process/cgroup_memory.h"
#include "agent/process/cgroup_quota.h"
#include "tests/support/catch.h"

using namespace agent;
using Places = std::vector<std::string>;

TEST_CASE("the limit of version 2 is looked for from the cgroup up to the mount") {
  CHECK(MemoryLimitPlaces("0::/kubepods/pod1/c1\n") ==
        Places{"/sys/fs/cgroup/kubepods/pod1/c1/memory.max",
               "/sys/fs/cgroup/kubepods/pod1/memory.max", "/sys/fs/cgroup/kubepods/memory.max",
               "/sys/fs/cgroup/memory.max"});
  CHECK(MemoryLimitPlaces("0::/\n") == Places{"/sys/fs/cgroup/memory.max"});
}

TEST_CASE("the limit of version 1 is the memory controller's") {
  CHECK(MemoryLimitPlaces("4:memory:/docker/abc\n3:cpuset:/x\n") ==
        Places{"/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes",
               "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
               "/sys/fs/cgroup/memory/memory.limit_in_bytes"});
  CHECK(MemoryLimitPlaces("broken\n:\n").empty());
}

TEST_CASE("no limit is told from a limit") {
  CHECK(ParseMemoryLimit("134217728\n") == 134217728);
  CHECK_FALSE(ParseMemoryLimit("max\n"));
  CHECK_FALSE(ParseMemoryLimit("9223372036854771712\n"));
  CHECK_FALSE(ParseMemoryLimit(""));
}

TEST_CASE("the sampler's buffers take an eighth of the limit at most") {
  CHECK(BoundsWithin(std::nullopt).run == 64u << 20);
  const MemoryBounds large = BoundsWithin(std::uint64_t{1} << 40);
  CHECK(large.run == 64u << 20);
  const MemoryBounds small = BoundsWithin(128u << 20);
  CHECK(small.run + small.window + small.queue == 16u << 20);
  CHECK(BoundsWithin(1u << 20).window == 512u << 10);
}

TEST_CASE("a CPU quota is a part of its period") {
  CHECK(ParseCpuQuota("20000 100000\n") == 0.2);
  CHECK_FALSE(ParseCpuQuota("max 100000\n"));
  CHECK_FALSE(ParseCpuQuota("-1 100000\n"));
  CHECK_FALSE(ParseCpuQuota("20000 0\n"));
  CHECK_FALSE(ParseCpuQuota(""));
}

TEST_CASE("the quota lies beside cpu.stat, in one file or two") {
  std::string folder = std::filesystem::temp_directory_path() / "agent-test-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string stat = folder + "/cpu.stat";
  CHECK_FALSE(ReadCpuQuota(stat));
  CHECK_FALSE(ReadCpuQuota(""));
  std::ofstream(folder + "/cpu.cfs_quota_us") << "150000\n";
  std::ofstream(folder + "/cpu.cfs_period_us") << "100000\n";
  CHECK(ReadCpuQuota(stat) == 1.5);
  std::ofstream(folder + "/cpu.max") << "10000 100000\n";
  CHECK(ReadCpuQuota(stat) == 0.1);
  std::filesystem::remove_all(folder);
}

TEST_CASE("below half a CPU the default rate falls with the quota") {
  CHECK(RateWithin(std::nullopt) == 100);
  CHECK(RateWithin(2.0) == 100);
  CHECK(RateWithin(0.2) == 40);
  CHECK(RateWithin(0.01) == 10);
}
