// SPDX-License-Identifier: Apache-2.0
#include "agent/base/cpu_binding.h"

#include <sched.h>
#include <unistd.h>

namespace agent {
namespace {

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

}  // namespace agent
