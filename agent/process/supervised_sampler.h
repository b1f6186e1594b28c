// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "agent/process/supervision.h"
#include "agent/process/watchdog.h"

namespace agent {

/// The keeper's side of the sampler process: starts it, gives it orders, kills it when it hangs,
/// says what its death cost, and starts another one where the kernel would let that one attach.
class SupervisedSampler {
 public:
  /// Runs in the new process, which still has all descriptors; returns its exit status.
  using Main = std::function<int(const UniqueFd& orders, bool restarted)>;

  /// `page` outlives this.
  SupervisedSampler(SharedPage& page, Main main) : page_(page), main_(std::move(main)) {}

  Result<void> Start();
  [[nodiscard]] bool running() const { return pid_ != Pid{}; }
  /// Whether there will be no sampler any more.
  [[nodiscard]] bool done() const { return !running() && !restart_due_; }
  /// The keeper's end of the sampler's socket; -1 without a sampler.
  [[nodiscard]] int orders() const { return orders_.get(); }
  /// Of the last sampler; 1 if a signal ended it.
  [[nodiscard]] int exit_status() const { return exit_status_; }

  void Flush();
  /// True if `pid` was the sampler; `wait_status` says how it ended.
  bool Reaped(Pid pid, int wait_status, MonotonicTime now);
  /// The watchdog's look, and the restart when it is due; returns when to call again.
  MonotonicTime Check(MonotonicTime now);
  /// Orders the end, waits so long at most, then kills.
  void Finish(std::int64_t tree_cpu_ns, Nanoseconds at_most);
  /// Without a word; reaps it.
  void KillSilently();

 private:
  void Kill(std::string_view reason);
  void ReportDeath(int wait_status, MonotonicTime now);
  // Plans a restart, if that makes sense; says so in words.
  std::string PlanRestart(MonotonicTime now);

  SharedPage& page_;
  Main main_;
  Watchdog watchdog_;
  Pid pid_{};
  UniqueFd orders_;
  std::string_view kill_reason_;  // of our own SIGKILL
  int exit_status_ = 0;
  int restarts_ = 0;
  std::optional<MonotonicTime> restart_due_;
  bool finishing_ = false;
};

}  // namespace agent
