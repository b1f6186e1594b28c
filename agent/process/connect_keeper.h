// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/base/unique_fd.h"
#include "agent/process/signal_set.h"
#include "agent/process/supervised_sampler.h"

namespace agent {

/// The process that the user started to look at one that runs already: watches the sampler, and
/// makes it finish when it is asked to end itself. One thread, every signal blocked.
class ConnectKeeper {
 public:
  /// `sampler` outlives this.
  explicit ConnectKeeper(SupervisedSampler& sampler)
      : sampler_(sampler), signals_(OpenSignalFd(SignalSet::All())) {}

  /// Returns the sampler's status when there is none any more.
  [[nodiscard]] int Run();

 private:
  void TakeSignal(const siginfo_t& info);
  void Reap();

  SupervisedSampler& sampler_;
  const UniqueFd signals_;
};

}  // namespace agent
