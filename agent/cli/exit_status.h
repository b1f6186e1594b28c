// SPDX-License-Identifier: Apache-2.0
// What the agent itself ends with; exec ends as the program does.
#pragma once

namespace agent {

/// It could not do what it was asked for, and said why.
inline constexpr int kFailed = 1;
/// Its command line is wrong. As env, timeout and docker say that they themselves failed; 126 and
/// 127 are exec's.
inline constexpr int kUsageError = 125;

}  // namespace agent
