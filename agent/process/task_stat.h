// SPDX-License-Identifier: Apache-2.0
// What the kernel says of one thread: stat, schedstat and status in /proc/PID/task/TID (proc(5)).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"

namespace agent {

struct TaskStat {
  std::string comm;  ///< As the kernel has it, at most 15 bytes; may hold any byte.
  char state = '?';  ///< 'R' running or runnable, 'S', 'D', 'T', 't', 'Z', ...
  Pid parent{};
  pid_t group = 0;             ///< Of processes, as job control has them.
  std::uint32_t terminal = 0;  ///< As new_encode_dev (linux/kdev_t.h) has it; 0: none.
  pid_t foreground_group = 0;  ///< Of that terminal; 0: none.
  std::uint64_t flags = 0;     ///< PF_* of the kernel's sched.h.
  std::uint64_t start_time =
      0;  ///< Clock ticks since boot: with the pid it names a process for good.
  /// Differ between the images that a process has executed (addresses are randomised); 0 without
  /// the right to look.
  std::uint64_t start_code = 0;
  std::uint64_t start_stack = 0;
  int cpu = -1;                ///< That it runs on, or has run on, or waits for.
  int real_time_priority = 0;  ///< 0: of a thread that takes turns with others.

  /// Reaped or not.
  [[nodiscard]] bool HasEnded() const { return state == 'Z' || state == 'X'; }
};

/// Forked, and not executed a program since (PF_FORKNOEXEC).
constexpr std::uint64_t kForkNoExec = 0x40;

/// kMalformed when the text does not have stat's form.
[[nodiscard]] Result<TaskStat> ParseTaskStat(std::string_view text);
/// Reads "stat" in a task's folder below /proc. kGone when the task was reaped.
[[nodiscard]] Result<TaskStat> ReadTaskStat(const std::string& folder);
/// Whether the process's main thread has not ended.
[[nodiscard]] bool IsAlive(Pid process);

/// What /proc/TID/status says of a task's place.
struct TaskPlace {
  Pid process{};
  Pid parent{};
  InnerTid inner_tid{};  ///< In the innermost PID namespace of the task.
};
/// kMalformed when the text does not have status's form.
[[nodiscard]] Result<TaskPlace> ParseTaskPlace(std::string_view status);

struct SchedStat {
  Nanoseconds run{0};   ///< Time on a CPU. Of a running thread it moves at scheduler ticks only.
  Nanoseconds wait{0};  ///< Time in the run queue.
  std::uint64_t slices = 0;
  friend bool operator==(const SchedStat&, const SchedStat&) = default;
};

[[nodiscard]] Result<SchedStat> ParseSchedStat(std::string_view text);
/// How often a thread has gone to sleep, from the text of /proc/PID/task/TID/status.
[[nodiscard]] Result<std::uint64_t> ParseVoluntarySwitches(std::string_view status);
/// Reads "schedstat" in a task's folder below /proc. kGone when the task was reaped.
[[nodiscard]] Result<SchedStat> ReadSchedStat(const std::string& folder);

}  // namespace agent
