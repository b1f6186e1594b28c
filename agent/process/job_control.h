// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string_view>

namespace agent {

/// Whether `process` may use the terminal `fd`: it does not run in the background of it. True where
/// `fd` is not the terminal that it belongs to, or that cannot be told.
[[nodiscard]] bool IsForeground(pid_t process, int fd);

/// The same from /proc/PID/stat (proc(5)) and the terminal's device number.
[[nodiscard]] bool IsForeground(std::string_view stat, dev_t terminal);

}  // namespace agent
