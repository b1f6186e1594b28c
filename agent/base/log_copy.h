// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string_view>

namespace agent {

/// Each line that is logged from now on goes to `copy`, too, from whatever thread or forked child.
/// Once, before there are others.
void CopyLogLines(std::function<void(std::string_view line)> copy);

}  // namespace agent
