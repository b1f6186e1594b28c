// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace agent {

/// Stops this process, which has every signal blocked, by `signal`, as job control would. Returns
/// when it was continued, or at once where the signal cannot stop it (PID 1, an orphaned group).
/// `called_off` is asked when the signal is already pending: a SIGCONT after that undoes the stop,
/// so nobody who continues us is missed.
void StopSelf(int signal, const std::function<bool()>& called_off);

}  // namespace agent
