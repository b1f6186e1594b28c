// SPDX-License-Identifier: Apache-2.0
// `agent top`: the hottest functions of a process that runs, live.
#pragma once

#include "agent/cli/settings.h"
#include "agent/process/supervision.h"

namespace agent {

/// The sampler's life. Draws on `start.output` where that is a terminal, and takes keys from it;
/// else writes lines once an interval. Returns the exit status.
[[nodiscard]] int RunTop(const Settings& settings, const SamplerStart& start);

/// Before RunTop: how the terminal on stdout is, if it is one.
void SaveTerminal();
/// Gives it back as it was, where a sampler that died has not.
void RestoreTerminal(int output);

}  // namespace agent
