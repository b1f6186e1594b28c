// SPDX-License-Identifier: Apache-2.0
// _Py_DebugOffsets, which CPython 3.13 and later publish in the first bytes of _PyRuntime.
#pragma once

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"

namespace agent::python {

/// Reads and validates _Py_DebugOffsets
/// (Include/internal/pycore_debug_offsets.h). kUnsupported for a form that is not known, kMalformed
/// when the offsets cannot be true.
[[nodiscard]] Result<Layout> ReadDebugOffsets(ProcessMemory& memory, RemoteAddress runtime);

/// The version in the debug offsets; kUnsupported where there are none (before 3.13).
[[nodiscard]] Result<Version> ReadDebugOffsetsVersion(ProcessMemory& memory, RemoteAddress runtime);

}  // namespace agent::python
