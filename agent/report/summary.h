// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "agent/profile/profile.h"

namespace agent {

/// The closing table for a terminal: what was sampled, and the functions with the most CPU time of
/// their own (self) with the time of what they called (total; recursion counts once). Ends in a
/// newline.
[[nodiscard]] std::string FormatSummary(const Profile& profile, std::size_t max_functions = 15);

}  // namespace agent
