// SPDX-License-Identifier: Apache-2.0
#include "agent/process/cgroup_memory.h"

#include "agent/cli/memory_bounds.h"
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
