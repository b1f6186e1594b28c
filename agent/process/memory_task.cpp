// SPDX-License-Identifier: Apache-2.0
#include "agent/process/memory_task.h"

#include <fmt/format.h>

#include <string>

#include "agent/process/proc_file.h"
#include "agent/process/task_stat.h"

namespace agent {

bool MemoryTask::FindAnother() {
  const std::string folder = fmt::format("/proc/{}/task", static_cast<pid_t>(process_));
  for (const pid_t other : NumbersIn(folder)) {
    if (other == id()) continue;
    const Result<TaskStat> stat = ReadTaskStat(fmt::format("{}/{}", folder, other));
    if (!stat || stat->HasEnded()) continue;
    task_ = Pid{other};
    return true;
  }
  return false;
}

}  // namespace agent
