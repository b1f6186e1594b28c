// SPDX-License-Identifier: Apache-2.0
#include "agent/process/watchdog.h"

#include <algorithm>

namespace agent {

Watchdog::Verdict Watchdog::Look(const SharedPage& page, MonotonicTime now,
                                 const std::function<SamplerCpu()>& read_cpu) {
  const std::int64_t holding = page.holding_since.load(std::memory_order_relaxed);
  const std::int64_t pending = page.pending_since.load(std::memory_order_relaxed);
  const MonotonicTime hold_end{Nanoseconds(holding) + kLongestHold};
  const MonotonicTime pending_end{Nanoseconds(pending) + kLongestPending};
  if ((holding == 0 || now < hold_end) && (pending == 0 || now < pending_end)) {
    suspicion_.reset();
    MonotonicTime next = now + kLookPeriod;
    if (holding != 0) next = std::min(next, hold_end);
    if (pending != 0) next = std::min(next, pending_end);
    return {false, next};
  }
  if (!suspicion_ || suspicion_->holding_since != holding || suspicion_->pending_since != pending) {
    suspicion_ = Suspicion{holding, pending, now, read_cpu().run, now + kConfirm};
  }
  if (now < suspicion_->confirm_at) return {false, suspicion_->confirm_at};
  const SamplerCpu cpu = read_cpu();
  const bool starved = cpu.runnable && cpu.run == suspicion_->run;
  if (starved && now < suspicion_->began + kLongestStarved) {
    suspicion_->confirm_at = now + kConfirm;
    return {false, suspicion_->confirm_at};
  }
  suspicion_.reset();
  return {true, now + kLookPeriod};
}

}  // namespace agent
