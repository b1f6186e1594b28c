// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/profile/profile.h"

namespace agent {

/// What the user is told of losses at the end of a run, one line each; nothing when all is well.
/// `samples`: how many were kept.
[[nodiscard]] std::vector<std::string> LossLines(const LossCounters& losses, std::int64_t samples);

}  // namespace agent
