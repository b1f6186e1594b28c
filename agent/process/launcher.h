// SPDX-License-Identifier: Apache-2.0
// The program's real parent: a tiny process in the program's group that reaps, sends the program
// its signals (so that they never meet a reused pid) and tells the keeper what becomes of it.
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "agent/process/child_setup.h"
#include "agent/process/supervision.h"

namespace agent {

/// Launcher to keeper.
struct LauncherReport {
  enum class Kind : std::uint32_t {
    kStarted,    ///< `target` and `launcher` are set. The first report.
    kFailed,     ///< No program could be started; `status` is errno. The first report.
    kStopped,    ///< `status` is the stop signal.
    kContinued,  ///< After kStopped.
    kExited,     ///< `status` is its wait status; `exec_errno`, `tree_cpu_ns` are set.
  };
  Kind kind = Kind::kStarted;
  pid_t target = 0;
  pid_t launcher = 0;
  int status = 0;
  int exec_errno = 0;            ///< Why exec failed; 0 if it did not.
  std::int64_t tree_cpu_ns = 0;  ///< User and system time of all that has been reaped.
};

/// Keeper to launcher.
struct LauncherOrder {
  enum class Kind : std::uint32_t {
    kSignal,             ///< Send `info` to the program.
    kContinueIfStopped,  ///< SIGCONT, unless whoever woke us has woken the program too.
  };
  Kind kind = Kind::kSignal;
  siginfo_t info{};
};

/// Shared by keeper, sampler and launcher (and the program before it execs).
struct LaunchPage {
  SharedPage shared;
  /// Set by the child that becomes the program, first thing: however early the launcher dies, the
  /// keeper knows whether there is a program.
  std::atomic<pid_t> target{0};
};

struct LauncherStart {
  const std::vector<std::string>& argv;
  const InheritedState& inherited;
  LaunchPage* page;
  UniqueFd link;        ///< LauncherReport out, LauncherOrder in; end of file: the keeper is dead.
  UniqueFd to_sampler;  ///< Takes the program's pid (pid_t).
  UniqueFd go;          ///< End of file: the program may start.
};

/// The launcher's life. All signals are blocked, inherited descriptors still open.
[[noreturn]] void RunLauncher(LauncherStart start);

/// Sends `info`'s signal to `target` as it was sent to us: with its value and sender where the
/// kernel lets us say so, which is for sigqueue() and the like, not for kill().
void PassSignal(Pid target, const siginfo_t& info);

}  // namespace agent
