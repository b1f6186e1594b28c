// SPDX-License-Identifier: Apache-2.0
// Where and when the calling thread gets a CPU.
#pragma once

namespace agent {

/// Runs the calling thread on one CPU only, from when this returns. False: we may not.
bool BindToCpu(int cpu);
/// On all that the process's first thread may use: that one is never bound. For a thread that was
/// bound, or whose starter may have been.
void UseAllCpus();
/// Asks for turns so short that a thread which uses its CPU up has to give it to the calling one as
/// soon as that wakes (Linux 6.12; before, it does nothing).
void RunInShortTurns();

}  // namespace agent
