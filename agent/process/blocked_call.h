// SPDX-License-Identifier: Apache-2.0
// What a thread that sleeps waits for: /proc/PID/task/TID/syscall (proc(5)).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "agent/base/error.h"

namespace agent {

struct BlockedCall {
  std::int64_t number = -1;          ///< -1: not in a system call (a page fault).
  std::uint64_t first_argument = 0;  ///< Of the call.
  std::uint64_t sp = 0;
  std::uint64_t pc = 0;
  friend bool operator==(const BlockedCall&, const BlockedCall&) = default;
};

/// Nothing when the thread runs. kMalformed when the text does not have the file's form.
[[nodiscard]] Result<std::optional<BlockedCall>> ParseBlockedCall(std::string_view text);

/// "epoll_wait"; "" for a number without a name.
[[nodiscard]] std::string_view SystemCallName(std::int64_t number);

}  // namespace agent
