// SPDX-License-Identifier: Apache-2.0
#include "agent/process/proc_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "agent/base/parse_number.h"

namespace agent {
namespace {

std::unexpected<Error> FailRead(std::string_view what, const std::string& path) {
  if (errno == ENOENT || errno == ESRCH) {
    return std::unexpected(Error{Errc::kGone, what, errno, path});
  }
  return FailErrno(what, path);
}

}  // namespace

Result<std::string> ReadProcFile(const std::string& path, std::size_t max_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return FailRead("open", path);
  std::string text;
  std::array<char, 16384> buffer;  // NOLINT: read fills it
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0) return FailRead("read", path);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > max_bytes) return Fail(Errc::kLimit, "file of /proc is too long", path);
  }
}

std::vector<pid_t> NumbersIn(const std::string& folder) {
  std::vector<pid_t> numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), &::closedir);
  if (!directory) return numbers;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (const auto number = ParseNumber<pid_t>(entry->d_name)) numbers.push_back(*number);
  }
  return numbers;
}

Result<std::string_view> ProcFile::Read(std::span<char> buffer) {
  if (!fd_.valid()) {
    fd_.Reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd_.valid()) return FailRead("open", path_);
  }
  const ssize_t got = ::pread(fd_.get(), buffer.data(), buffer.size(), 0);
  if (got < 0) return FailRead("read", path_);
  if (got == 0) return Fail(Errc::kGone, "the task has ended");
  return std::string_view(buffer.data(), static_cast<std::size_t>(got));
}

}  // namespace agent
