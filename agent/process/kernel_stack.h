// SPDX-License-Identifier: Apache-2.0
// The kernel's side of a thread's stack: /proc/PID/task/TID/stack (proc(5)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"

namespace agent {

/// The functions in the file, leaf first: "ep_poll" of "[<0>] ep_poll+0x2a1/0x3e0", and of a
/// module "nfs_wait_bit_killable" without the module's name. A line that is a bare address (the
/// kernel has no names) is left out; so is all past 64 levels.
[[nodiscard]] std::vector<std::string> ParseKernelStack(std::string_view text);

/// Reads the file. It is for those with CAP_SYS_ADMIN in the first user namespace only
/// (fs/proc/base.c, proc_pid_stack), and is empty for a thread that runs on another CPU.
class KernelStacks {
 public:
  /// Tries it on ourselves. kNotPermitted; kGone when this kernel has no such file
  /// (CONFIG_STACKTRACE). `proc`: where /proc is.
  [[nodiscard]] static Result<KernelStacks> Open(std::string proc = "/proc");

  /// As ParseKernelStack; kGone when the thread has ended.
  [[nodiscard]] Result<std::vector<std::string>> Read(Pid pid, Tid tid) const;

 private:
  explicit KernelStacks(std::string proc) : proc_(std::move(proc)) {}
  std::string proc_;
};

}  // namespace agent
