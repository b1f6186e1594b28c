// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "agent/process/held_output.h"
#include "agent/process/launcher.h"
#include "agent/process/signal_set.h"
#include "agent/process/supervised_sampler.h"
#include "agent/process/supervision.h"

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
  /// What the program's terminal is used for instead.
  struct Display {
    TakenOutput hooks;
    int output = -1;             // the user's stdout
    HeldOutput* held = nullptr;  // the program's
  };
  /// `link` is the launcher's socket. `sampler` and what `display` has outlive this.
  Keeper(Program program, UniqueFd link, SupervisedSampler& sampler,
         std::optional<Display> display = std::nullopt);

  /// Ends as the program ends.
  [[noreturn]] void Run();

 private:
  void WaitUntil(MonotonicTime until) const;
  void TakeOutput();
  void Tell(const std::function<void(int)> TakenOutput::* what) const;
  void ShowOutput();
  void TakeSignals();
  void TakeSignal(const siginfo_t& info);
  void Order(const LauncherOrder& order);
  void TakeReports();
  void TakeReport(const LauncherReport& report);
  void Reap();
  void StopAsTarget();
  [[nodiscard]] bool IsTargetInOurGroup() const;
  void FollowGroup();
  [[nodiscard]] bool IsForTarget(const siginfo_t& info) const;
  [[noreturn]] void End();
  void ReapLauncher();

  const Program program_;
  UniqueFd
      link_;  // not valid any more when the launcher has died: the program is our own child then
  SupervisedSampler& sampler_;
  const std::optional<Display> display_;
  const UniqueFd signals_;
  std::optional<int> stopped_by_;      // the program's stop that we have not followed yet
  std::optional<LauncherReport> end_;  // of the program
};

}  // namespace agent
