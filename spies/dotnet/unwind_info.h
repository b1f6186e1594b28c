// SPDX-License-Identifier: Apache-2.0
// The unwind information of the architecture that this agent is built for. Each one's is compiled,
// and tested, on all of them.
#pragma once

#include "spies/dotnet/unwind_info_aarch64.h"
#include "spies/dotnet/unwind_info_x86_64.h"

namespace agent::dotnet {

#if defined(__x86_64__)
using UnwindInfo = X64UnwindInfo;
#elif defined(__aarch64__)
using UnwindInfo = Arm64UnwindInfo;
#endif
using RuntimeFunction = UnwindInfo::Function;

}  // namespace agent::dotnet
