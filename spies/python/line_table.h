// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace agent::python {

/// The line of one instruction by co_linetable of 3.11 and later (Objects/locations.md).
/// `instruction` counts code units (2 bytes) from the code's start, -1 for a frame that has not run
/// one yet. 0 where the table gives no line. Any bytes are safe.
[[nodiscard]] std::uint32_t FindLine(std::span<const std::byte> table, std::uint32_t first_line,
                                     std::int64_t instruction);

}  // namespace agent::python
