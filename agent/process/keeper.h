// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "agent/process/launcher.h"
#include "agent/process/signal_set.h"
#include "agent/process/supervised_sampler.h"

namespace agent {

/// The process that the user started, once the program runs: stands for the program towards whoever
/// sends it signals, stops it or waits for it. One thread, every signal blocked.
class Keeper {
 public:
  struct Program {
    std::vector<std::string> argv;
    Pid target{};
    Pid launcher{};
  };
  /// `link` is the launcher's socket. `sampler` outlives this.
  Keeper(Program program, UniqueFd link, SupervisedSampler& sampler);

  /// Ends as the program ends.
  [[noreturn]] void Run();

 private:
  void WaitUntil(MonotonicTime until) const;
  void TakeSignals();
  void TakeSignal(const siginfo_t& info);
  void Order(const LauncherOrder& order);
  void TakeReports();
  void TakeReport(const LauncherReport& report);
  void Reap();
  void StopAsTarget();
  [[nodiscard]] bool IsForTarget(const siginfo_t& info) const;
  [[noreturn]] void End();
  void ReapLauncher();

  const Program program_;
  UniqueFd
      link_;  // not valid any more when the launcher has died: the program is our own child then
  SupervisedSampler& sampler_;
  const UniqueFd signals_;
  std::optional<int> stopped_by_;      // the program's stop that we have not followed yet
  std::optional<LauncherReport> end_;  // of the program
};

}  // namespace agent
