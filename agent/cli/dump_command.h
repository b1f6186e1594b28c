// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/cli/settings.h"
#include "agent/process/supervision.h"

namespace agent {

/// `agent dump`: the sampler's life for one look at each thread. Threads that sleep are read
/// without a stop where that tells enough. Writes to `start.output`; returns the exit status.
[[nodiscard]] int RunDump(const Settings& settings, const SamplerStart& start);

}  // namespace agent
