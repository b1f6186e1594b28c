// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/profile/profile.h"

namespace agent {

/// A still flame graph, the root at the top, as SVG 1.1: for READMEs. Frames narrower than a third
/// of a pixel are left out; what a frame costs shows when the pointer rests on it.
[[nodiscard]] std::string EncodeSvg(const Profile& profile);

}  // namespace agent
