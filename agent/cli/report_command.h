// SPDX-License-Identifier: Apache-2.0
// `agent report` and `agent diff`: profiles that were written before, by us or by other tools.
#pragma once

#include <string>
#include <vector>

#include "agent/cli/settings.h"
#include "agent/report/run_file.h"

namespace agent {

/// Adds the files up, and writes them as `outputs` say; a table on stdout where there are none.
/// Returns the exit status: 1 with a line on stderr when a file cannot be read or written.
[[nodiscard]] int RunReport(const std::vector<std::string>& files, const Settings& settings,
                            const std::vector<RunFile>& outputs);

/// Compares two files. As RunReport; outputs can be pages only (125 else).
[[nodiscard]] int RunDiff(const std::vector<std::string>& files, const Settings& settings,
                          const std::vector<RunFile>& outputs);

}  // namespace agent
