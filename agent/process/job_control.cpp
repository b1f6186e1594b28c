// SPDX-License-Identifier: Apache-2.0
#include "agent/process/job_control.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/process/proc_file.h"
#include "agent/process/task_stat.h"

namespace agent {

bool IsForeground(std::string_view text, dev_t terminal) {
  const Result<TaskStat> stat = ParseTaskStat(text);
  if (!stat || stat->foreground_group == 0) return true;
  const unsigned major_number = (stat->terminal & 0xfff00) >> 8;
  const unsigned minor_number = (stat->terminal & 0xff) | ((stat->terminal >> 12) & 0xfff00);
  return ::makedev(major_number, minor_number) != terminal || stat->group == stat->foreground_group;
}

bool IsForeground(pid_t process, int fd) {
  struct stat info{};
  const Result<std::string> text = ReadProcFile(fmt::format("/proc/{}/stat", process));
  if (!text || ::fstat(fd, &info) != 0) return true;
  return IsForeground(*text, info.st_rdev);
}

}  // namespace agent
