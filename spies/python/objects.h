// SPDX-License-Identifier: Apache-2.0
// Reading Python's own objects: str and bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"

namespace agent::python {

/// Longer than any name that a person wrote; a server cuts at 65,535 bytes.
inline constexpr std::uint64_t kMostCharacters = 4096;

/// A str as UTF-8, all kinds (Objects/unicodeobject.c). One that has more characters than `most`
/// ends in "…". A lone surrogate becomes U+FFFD.
[[nodiscard]] Result<std::string> ReadString(ProcessMemory& memory, const Layout& layout,
                                             RemoteAddress object,
                                             std::uint64_t most = kMostCharacters);

/// A bytes object of at most 1 MiB; kLimit past that.
[[nodiscard]] Result<std::vector<std::byte>> ReadBytes(ProcessMemory& memory, const Layout& layout,
                                                       RemoteAddress object);

}  // namespace agent::python
