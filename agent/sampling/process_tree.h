// SPDX-License-Identifier: Apache-2.0
// Which processes and threads there are below a program.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_set>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/process/proc_file.h"
#include "agent/process/process_choice.h"

namespace agent {

/// Sampling thread only. Costs 1 us while no task is born in our PID namespace (the last field of
/// /proc/loadavg), one look per newborn task else: never a scan of all processes.
class ProcessTree {
 public:
  struct Task {
    Pid process{};
    Tid tid{};
    InnerTid inner_tid{};
  };

  /// `root`: the program; 0: all that `choice` wants, those that are born or execute another
  /// program later within a second. `adopter`: a process that orphans of the tree are handed to; 0
  /// for none. It does not itself belong to the tree. `choice` may be null, and outlives this.
  ProcessTree(Pid root, Pid adopter, bool follow_children, const ProcessChoice* choice = nullptr);

  /// The tasks that were found since the last call. Bounded work a call: what is left comes with
  /// the next ones.
  std::vector<Task> Update(MonotonicTime now);
  /// The threads of one process, now.
  static std::vector<Task> Threads(Pid process);
  /// A process has ended: its children are found through the adopter from now on. Until it is
  /// reaped it is still its parent's child, and not found again.
  void Forget(Pid process);

 private:
  struct Missing {
    pid_t id;
    int tries_left;
  };

  std::optional<pid_t> ReadNewestId();
  bool Examine(pid_t id, std::vector<Task>& found);
  void AddMember(Pid process, std::vector<Task>& found);
  void LookAtAllChildren(std::vector<Task>& found);
  void LookAtAllProcesses(std::vector<Task>& found);

  ProcFile loadavg_{"/proc/loadavg"};
  std::unordered_set<Pid> members_;
  std::unordered_set<Pid> ended_;  // forgotten, and perhaps not reaped yet
  Pid root_;
  Pid adopter_;
  bool follow_children_;
  const ProcessChoice* choice_;
  bool started_ = false;
  pid_t newest_ = 0;
  std::vector<Missing> missing_;  // ids that the kernel has given out but not shown yet
  MonotonicTime last_look_;       // at the newest id
  MonotonicTime last_full_look_;
  MonotonicTime last_choice_;
  bool born_since_full_look_ = false;
};

}  // namespace agent
