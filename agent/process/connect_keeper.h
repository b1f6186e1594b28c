// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "agent/base/unique_fd.h"
#include "agent/process/signal_set.h"
#include "agent/process/supervised_sampler.h"

namespace agent {

/// The process that the user started to look at one that runs already: watches the sampler, and
/// makes it finish when it is asked to end itself. One thread, every signal blocked.
class ConnectKeeper {
 public:
  /// Around each stop of its own it calls the two. `sampler` outlives this.
  ConnectKeeper(SupervisedSampler& sampler, std::function<void()> before_stop,
                std::function<void()> after_stop)
      : sampler_(sampler),
        before_stop_(std::move(before_stop)),
        after_stop_(std::move(after_stop)),
        signals_(OpenSignalFd(SignalSet::All())) {}

  /// Returns the sampler's status when there is none any more.
  [[nodiscard]] int Run();

 private:
  void TakeSignal(const siginfo_t& info);
  void Stop();
  void Reap();

  SupervisedSampler& sampler_;
  const std::function<void()> before_stop_;
  const std::function<void()> after_stop_;
  const UniqueFd signals_;
};

}  // namespace agent
