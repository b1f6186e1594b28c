// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/base/types.h"

namespace agent {

/// The thread by which the kernel finds a process's memory: the main one, until it ends before the
/// others do (pthread_exit). Then /proc/PID/maps is empty, and process_vm_readv knows no such
/// process.
class MemoryTask {
 public:
  explicit MemoryTask(Pid process) : process_(process), task_(process) {}

  /// For system calls and paths below /proc that take a thread's id as well.
  [[nodiscard]] int id() const { return static_cast<int>(task_); }
  /// Call it where the kernel finds nothing. False when no other thread is alive either.
  bool FindAnother();

 private:
  Pid process_;
  Pid task_;
};

}  // namespace agent
