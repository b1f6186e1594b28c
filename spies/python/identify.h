// SPDX-License-Identifier: Apache-2.0
// Which CPython a runtime is, and where its structures hold their fields.
#pragma once

#include <expected>
#include <string>

#include "agent/base/error.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"
#include "spies/python/runtime.h"
#include "spies/spy.h"

namespace agent::python {

[[nodiscard]] std::unexpected<Refusal> Refuse(Refusal::Kind kind, std::string reason = {});
/// What a read that failed means for who asks for a spy.
[[nodiscard]] std::unexpected<Refusal> RefuseFor(const Error& error);

/// By the debug offsets (3.13 and later), by Py_Version (3.11 and later), or by what the file
/// exports and a text in memory.
[[nodiscard]] std::expected<Version, Refusal> FindVersion(ProcessMemory& memory,
                                                          const RuntimeLocation& location);
[[nodiscard]] std::expected<Layout, Refusal> FindLayout(ProcessMemory& memory,
                                                        const RuntimeLocation& location,
                                                        Version version);

}  // namespace agent::python
