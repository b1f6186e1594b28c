// SPDX-License-Identifier: Apache-2.0
// Checking a table of offsets against what the process itself says.
#pragma once

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"

namespace agent::python {

/// Compares the offsets of code and frame objects with tp_members of PyCode_Type and PyFrame_Type
/// (Include/structmember.h), which a build with other structures has changed as well. A null type
/// is not looked at. Only once an interpreter has started: before, the dynamic linker may not have
/// filled in the addresses. kMalformed names the field that differs.
[[nodiscard]] Result<void> CheckMembers(ProcessMemory& memory, const Layout& layout,
                                        RemoteAddress code_type, RemoteAddress frame_type);

}  // namespace agent::python
