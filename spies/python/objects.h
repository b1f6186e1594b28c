// SPDX-License-Identifier: Apache-2.0
// Reading Python's own objects: str and bytes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"

namespace agent::python {

/// A str as UTF-8, all kinds (Objects/unicodeobject.c). At most 4,096 characters; a longer one ends
/// in "…". A lone surrogate becomes U+FFFD.
[[nodiscard]] Result<std::string> ReadString(ProcessMemory& memory, const Layout& layout,
                                             RemoteAddress object);

/// A bytes object of at most 1 MiB; kLimit past that.
[[nodiscard]] Result<std::vector<std::byte>> ReadBytes(ProcessMemory& memory, const Layout& layout,
                                                       RemoteAddress object);

}  // namespace agent::python
