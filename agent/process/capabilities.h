// SPDX-License-Identifier: Apache-2.0
// capabilities(7) of this process.
#pragma once

#include <linux/capability.h>

namespace agent {

/// Whether this process has it (CAP_KILL, ...) in effect; false when it cannot be told.
[[nodiscard]] bool HasCapability(int capability);
[[nodiscard]] inline bool HasPtraceCapability() { return HasCapability(CAP_SYS_PTRACE); }

/// Gives all of them up, for good. Of the calling thread.
void DropCapabilities();

}  // namespace agent
