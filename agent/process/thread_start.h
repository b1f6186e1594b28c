// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/base/error.h"

namespace agent {

/// Makes sure that this process may start threads. Container runtimes of before 2022 answer clone3
/// with EPERM rather than ENOSYS, and libc then does not try clone: a seccomp filter of our own,
/// asked before theirs, answers ENOSYS (seccomp(2): of equal actions the newest filter's counts).
/// Not for a process that executes programs: it and its children get PR_SET_NO_NEW_PRIVS.
[[nodiscard]] Result<void> EnsureThreadsStart();

}  // namespace agent
