// SPDX-License-Identifier: Apache-2.0
// `agent top`: the hottest functions of a process that runs, live.
#pragma once

#include <string>
#include <vector>

#include "agent/cli/settings.h"

namespace agent {

/// Shows the process that the settings name or, where `program` has words, that program, which
/// reads nothing and whose output is shown at the end. Draws on stdout where that is a terminal,
/// and takes keys from it; else writes lines once a second. Ends with the sampler's status or the
/// program's.
[[noreturn]] void RunTop(const Settings& settings, const std::vector<std::string>& program);

}  // namespace agent
