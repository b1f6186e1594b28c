// SPDX-License-Identifier: Apache-2.0
#include "agent/process/memory_task.h"

#include <dirent.h>
#include <fmt/format.h>

#include <cstdlib>
#include <memory>

#include "agent/process/proc_file.h"
#include "agent/process/task_stat.h"

namespace agent {

bool MemoryTask::FindAnother() {
  const std::string folder = fmt::format("/proc/{}/task", static_cast<pid_t>(process_));
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir(folder.c_str()), &::closedir);
  if (!tasks) return false;
  while (const dirent* entry = ::readdir(tasks.get())) {
    const int id = std::atoi(entry->d_name);
    if (id <= 0 || id == this->id()) continue;
    const auto text = ReadProcFile(fmt::format("{}/{}/stat", folder, id));
    if (!text) continue;
    const auto stat = ParseTaskStat(*text);
    if (!stat || stat->state == 'Z' || stat->state == 'X') continue;
    task_ = Pid{id};
    return true;
  }
  return false;
}

}  // namespace agent
