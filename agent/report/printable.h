// SPDX-License-Identifier: Apache-2.0
// Names of a profiled program, for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/profile/frame.h"

namespace agent {

/// `name` (UTF-8) without control characters, which a hostile program might have named a function
/// by: C0, DEL and C1 (U+0080 to U+009F, of which some terminals take U+009B as the start of a
/// command) become '?'.
[[nodiscard]] std::string Printable(std::string_view name);

/// The last `width` characters of that, with a mark if there were more: the end of a long name
/// tells more than its start.
[[nodiscard]] std::string Fitted(std::string_view name, std::size_t width);

/// "name (file:line)", where the function has them; both fitted, 85 characters at most.
[[nodiscard]] std::string DescribeFunction(const Function& function);

}  // namespace agent
