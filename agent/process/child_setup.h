// SPDX-License-Identifier: Apache-2.0
// What the keeper changes about itself, so that the program can be given what it would have had
// without us.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/types.h"
#include "agent/process/run_as.h"
#include "agent/process/signal_set.h"

namespace agent {

/// As the keeper found it, and whom the program shall run as in its place.
struct InheritedState {
  SignalSet mask;
  bool sigchld_ignored = false;  ///< Then the kernel would give us no status of any child.
  Pid keeper{};
  std::optional<RunAs> run_as;
  int held_output =
      -1;  ///< In the place of the program's stdout and stderr; it reads nothing then.
};

/// Blocks every signal, sets SIGCHLD to its default, and makes this process the one that orphans
/// below it fall to.
[[nodiscard]] InheritedState TakeOver();

/// The opposite of TakeOver, then exec of `argv` by the PATH of the environment. LISTEN_PID and the
/// like that name the keeper name this process. Returns only if exec fails, or the change of the
/// user: errno.
int ExecAsInherited(const std::vector<std::string>& argv, const InheritedState& inherited);

/// Says why `argv` could not be run, in one line; returns the status to exit with: 127 for not
/// found, 126 for found and not run.
int ReportExecFailure(const std::vector<std::string>& argv, int exec_errno);

}  // namespace agent
