// SPDX-License-Identifier: Apache-2.0
// Names of a profiled program, for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/base/printable.h"
#include "agent/profile/frame.h"

namespace agent {

/// The last `width` characters of Printable(name), with a mark if there were more: the end of a
/// long name tells more than its start.
[[nodiscard]] std::string Fitted(std::string_view name, std::size_t width);

/// "name (file:line)", where the function has them; both fitted, 85 characters at most.
[[nodiscard]] std::string DescribeFunction(const Function& function);

}  // namespace agent
