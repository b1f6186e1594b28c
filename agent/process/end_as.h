// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace agent {

/// Ends this process as a process with this wait status ended: with the same code, or by the same
/// signal, without a core file. 128 + signal where the signal does not end it (PID 1 of a
/// namespace).
[[noreturn]] void EndAs(int wait_status);

}  // namespace agent
