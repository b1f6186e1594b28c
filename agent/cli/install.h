// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/base/error.h"

namespace agent {

/// Copies the running program to `path`, for all to execute; what is there is replaced at once, so
/// that nobody starts half a program. An image that holds nothing but the agent has no cp.
[[nodiscard]] Result<void> Install(const std::string& path);

}  // namespace agent
