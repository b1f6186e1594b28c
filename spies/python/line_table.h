// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "spies/python/layout.h"

namespace agent::python {

/// The line of one instruction by a code object's table. `instruction` counts code units (2 bytes)
/// from the code's start, -1 for a frame that has not run one yet. 0 where the table gives no line.
/// Any bytes are safe.
[[nodiscard]] std::uint32_t FindLine(LineFormat format, std::span<const std::byte> table,
                                     std::uint32_t first_line, std::int64_t instruction);

}  // namespace agent::python
