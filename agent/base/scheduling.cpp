// SPDX-License-Identifier: Apache-2.0
#include "agent/base/scheduling.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace agent {
namespace {

// The kernel's struct sched_attr, as far as Linux 3.14 has it: its header and <sched.h> cannot be
// had together.
struct SchedAttributes {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime;  // nanoseconds, as the other two
  std::uint64_t deadline;
  std::uint64_t period;
};

bool AllCpus(cpu_set_t& set) { return ::sched_getaffinity(::getpid(), sizeof(set), &set) == 0; }

}  // namespace

bool BindToCpu(int cpu) {
  cpu_set_t set;
  // Else it could not be undone (more CPUs than a set holds).
  if (cpu < 0 || cpu >= CPU_SETSIZE || !AllCpus(set)) return false;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return ::sched_setaffinity(0, sizeof(set), &set) == 0;
}

void UseAllCpus() {
  cpu_set_t set;
  if (AllCpus(set)) ::sched_setaffinity(0, sizeof(set), &set);
}

void RunInShortTurns() {
  constexpr std::uint64_t kTurn = 100'000;  // nanoseconds; the shortest that there are
  SchedAttributes attributes{};
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;
  attributes.runtime = kTurn;
  ::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace agent
