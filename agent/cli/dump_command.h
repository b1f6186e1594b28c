// SPDX-License-Identifier: Apache-2.0
// `agent dump`: the stack of each thread of a process, now.
#pragma once

#include "agent/cli/settings.h"

namespace agent {

/// Writes to stdout. Ends with 0, or with kFailed and a line on stderr where the process cannot be
/// looked into, or ends meanwhile.
[[noreturn]] void RunDump(const Settings& settings);

}  // namespace agent
