// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/cpu_seat.h"

#include <utility>

#include "agent/base/scheduling.h"

namespace agent {

void CpuSeat::Settle(MonotonicTime now) {
  const int wanted = std::exchange(wanted_, -1);
  if (wanted == cpu_) used_ = now;
  if (wanted == cpu_ || is_refused_) return;
  if (wanted >= 0 && (cpu_ < 0 || now - moved_ > kPatience)) {
    // Not one of ours, as in another container's set: then it will always be so.
    is_refused_ = !BindToCpu(wanted);
    cpu_ = is_refused_ ? -1 : wanted;
    used_ = moved_ = now;
    if (is_refused_) UseAllCpus();
  } else if (wanted < 0 && now - used_ > kKept) {
    Leave();
  }
}

void CpuSeat::Leave() {
  if (std::exchange(cpu_, -1) >= 0) UseAllCpus();
}

}  // namespace agent
