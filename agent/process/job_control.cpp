// SPDX-License-Identifier: Apache-2.0
#include "agent/process/job_control.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "agent/base/parse_number.h"
#include "agent/process/proc_file.h"

namespace agent {

bool IsForeground(std::string_view stat, dev_t terminal) {
  // Behind the name, which may have anything in it: state ppid pgrp session tty_nr tpgid.
  stat.remove_prefix(std::min(stat.rfind(") ") + 2, stat.size()));
  std::array<std::int64_t, 6> fields{};
  for (std::int64_t& field : fields) {
    const std::size_t end = std::min(stat.find(' '), stat.size());
    field = ParseNumber<std::int64_t>(stat.substr(0, end)).value_or(-1);
    stat.remove_prefix(std::min(end + 1, stat.size()));
  }
  const auto device = static_cast<std::uint64_t>(fields[4]);  // new_encode_dev, linux/kdev_t.h
  const auto major_number = static_cast<unsigned>((device & 0xfff00) >> 8);
  const auto minor_number = static_cast<unsigned>((device & 0xff) | ((device >> 12) & 0xfff00));
  if (::makedev(major_number, minor_number) != terminal || fields[5] <= 0) return true;
  return fields[2] == fields[5];
}

bool IsForeground(pid_t process, int fd) {
  struct stat info{};
  const Result<std::string> text = ReadProcFile(fmt::format("/proc/{}/stat", process));
  if (!text || ::fstat(fd, &info) != 0) return true;
  return IsForeground(*text, info.st_rdev);
}

}  // namespace agent
