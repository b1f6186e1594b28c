// SPDX-License-Identifier: Apache-2.0
// Formats of viewers that show time.
#pragma once

#include <string>

#include "agent/profile/profile.h"

namespace agent {

/// speedscope's file format (www.speedscope.app/file-format-schema.json): one profile for each
/// thread, its stacks in the order of time. Weights are wall time where the run has it, else CPU
/// time, else samples; the profiles' names say which ("[cpu]").
[[nodiscard]] std::string EncodeSpeedscope(const Profile& profile);

/// The Firefox Profiler's Gecko format, version 24 (profiler.firefox.com opens it): a lane for each
/// thread, a sample for each that was taken, with its CPU time. What is wall time only has no
/// samples of its own and is left out.
[[nodiscard]] std::string EncodeGecko(const Profile& profile);

}  // namespace agent
