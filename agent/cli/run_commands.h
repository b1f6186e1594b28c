// SPDX-License-Identifier: Apache-2.0
// `agent exec` and `agent connect`: a run that is sampled, and where its profile goes.
#pragma once

#include <vector>

#include "agent/cli/command_line.h"
#include "agent/cli/settings.h"
#include "agent/report/run_file.h"

namespace agent {

/// Runs the program of `line` and ends as it does; it runs without us where nothing would be kept
/// or we are switched off. `settings`: what line and environment say. Exits with kUsageError when
/// the program cannot be run as the user that they name.
[[noreturn]] void RunExec(const CommandLine& line, const Settings& settings,
                          const std::vector<RunFile>& outputs);

/// Samples the processes that the settings name, and ends with the sampler's status. Exits with
/// kUsageError where nothing would be kept.
[[noreturn]] void RunConnect(const Settings& settings, const std::vector<RunFile>& outputs);

}  // namespace agent
