// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/base/clock.h"
#include "agent/profile/profile.h"

namespace agent {

/// Collapsed stacks: "root;caller;leaf 42" lines, sorted. The number counts samples; CPU time that
/// no sample carried is given as the number of periods that it fills. Lines stay below 64 KiB
/// (readers cut there): a longer stack loses frames at its root, marked "[cut]".
[[nodiscard]] std::string EncodeFolded(const Profile& profile);

/// The same with CPU time as the number, in units of `cpu_unit`.
[[nodiscard]] std::string EncodeFolded(const Profile& profile, Nanoseconds cpu_unit);

}  // namespace agent
