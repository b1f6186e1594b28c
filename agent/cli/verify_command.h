// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/cli/settings.h"

namespace agent {

/// `agent verify`: sends a profile to each server and reads it back; what came of it goes to
/// stdout. The exit status: 0, 1 when something is wrong.
[[nodiscard]] int RunVerify(const Settings& settings);

}  // namespace agent
