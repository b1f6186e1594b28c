// SPDX-License-Identifier: Apache-2.0
// On which CPUs the calling thread runs.
#pragma once

namespace agent {

/// Runs the calling thread on one CPU only, from when this returns. False: we may not.
bool BindToCpu(int cpu);
/// On all that the process's first thread may use: that one is never bound. For a thread that was
/// bound, or whose starter may have been.
void UseAllCpus();

}  // namespace agent
