// SPDX-License-Identifier: Apache-2.0
#include "agent/process/kernel_stack.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using agent::testing::TemporaryFolder;

namespace {

using Names = std::vector<std::string>;

// As Linux 6.18 writes it.
constexpr const char* kEpoll =
    "[<0>] ep_poll+0x2a1/0x3e0\n"
    "[<0>] do_epoll_wait+0xbb/0x190\n"
    "[<0>] entry_SYSCALL_64_after_hwframe+0x76/0x7e\n";

}  // namespace

TEST_CASE("Kernel stack: the functions, leaf first") {
  CHECK(ParseKernelStack(kEpoll) ==
        Names{"ep_poll", "do_epoll_wait", "entry_SYSCALL_64_after_hwframe"});
  // With an address, of a module, of a clone, without a line end.
  CHECK(ParseKernelStack("[<ffffffff81a01234>] futex_wait+0x1/0x2\n"
                         "[<0>] nfs_wait.isra.0+0x10/0x20 [nfs]") ==
        Names{"futex_wait", "nfs_wait.isra.0"});
}

TEST_CASE("Kernel stack: what has no name or another form is left out, and there is a bound") {
  CHECK(ParseKernelStack("").empty());
  CHECK(ParseKernelStack("\n\n[<0>]\n[<0>] \n[<0>] 0xffffffffffffffff\nx+0x1/0x2\n").empty());
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "[<0>] f+0x1/0x2\n";
  CHECK(ParseKernelStack(many).size() == 64);
  CHECK(ParseKernelStack("[<0>] " + std::string(100'000, 'a')).empty());
}

TEST_CASE("Kernel stack: of a thread, below the folder of /proc") {
  const TemporaryFolder proc;
  const auto without = KernelStacks::Open(proc.path());
  REQUIRE_FALSE(without);
  CHECK(without.error().code == Errc::kGone);

  proc.Write("self/stack", "");
  proc.Write("7/task/9/stack", kEpoll);
  proc.Write("7/task/10/stack", "");  // runs
  const auto stacks = KernelStacks::Open(proc.path());
  REQUIRE(stacks);
  const auto sleeps = stacks->Read(Pid{7}, Tid{9});
  REQUIRE(sleeps);
  CHECK(sleeps->size() == 3);
  const auto runs = stacks->Read(Pid{7}, Tid{10});
  REQUIRE(runs);
  CHECK(runs->empty());
  const auto gone = stacks->Read(Pid{7}, Tid{11});
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == Errc::kGone);
}
