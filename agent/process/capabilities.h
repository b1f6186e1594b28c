// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace agent {

/// Whether this process has CAP_SYS_PTRACE in effect (capabilities(7)); false when it cannot be
/// told.
[[nodiscard]] bool HasPtraceCapability();

}  // namespace agent
