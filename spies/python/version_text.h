// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"

namespace agent::python {

/// The full version of a CPython of which major and minor are known (`minor`), by the text that
/// Py_GetVersion makes: "3.8.18 (default, ...". Looks through `size` bytes at `start`, its
/// variables, at most 4 MiB of them. Nothing while the interpreter has not started.
[[nodiscard]] std::optional<Version> FindVersionText(ProcessMemory& memory, Version minor,
                                                     RemoteAddress start, std::uint64_t size);

}  // namespace agent::python
