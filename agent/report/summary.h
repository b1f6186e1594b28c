// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "agent/profile/profile.h"
#include "agent/profile/unnamed.h"

namespace agent {

/// The closing table for a terminal: what was sampled, and the functions with the most CPU time of
/// their own (self) with the time of what they called (total; recursion counts once). `unnamed`
/// becomes a line below, where there is much of it. Ends in a newline.
[[nodiscard]] std::string FormatSummary(const Profile& profile,
                                        std::span<const UnnamedCode> unnamed = {},
                                        std::size_t max_functions = 15);

}  // namespace agent
