// SPDX-License-Identifier: Apache-2.0
#include "agent/process/own_fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

namespace agent {
namespace {

constexpr int kFirstOwn = 3;

// Below Linux 5.9. Without /proc as well: up to the limit, which is 2^20 at most where it is sane.
void CloseOneByOne(const std::vector<int>& keep) {
  const auto close_unless_kept = [&](int fd) {
    if (fd >= kFirstOwn && std::ranges::find(keep, fd) == keep.end()) ::close(fd);
  };
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), ::closedir);
  if (folder != nullptr) {
    std::vector<int> open;
    while (const dirent* entry = ::readdir(folder.get())) {
      const int fd = std::atoi(entry->d_name);
      if (fd != ::dirfd(folder.get())) open.push_back(fd);
    }
    std::ranges::for_each(open, close_unless_kept);
    return;
  }
  constexpr rlim_t kMostFds = 1 << 20;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto end = static_cast<int>(std::min(limit.rlim_max, kMostFds));
  for (int fd = kFirstOwn; fd < end; ++fd) close_unless_kept(fd);
}

void CloseAllBut(std::vector<int> keep) {
  std::ranges::sort(keep);
  unsigned first = kFirstOwn;
  for (const int fd : keep) {
    const auto kept = static_cast<unsigned>(fd);
    if (kept > first && ::close_range(first, kept - 1, 0) != 0) return CloseOneByOne(keep);
    first = kept + 1;
  }
  if (::close_range(first, std::numeric_limits<unsigned>::max(), 0) != 0) CloseOneByOne(keep);
}

}  // namespace

UniqueFd AwayFromStdio(UniqueFd fd) {
  if (!fd.valid() || fd.get() >= kFirstOwn) return fd;
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstOwn));
}

Result<Pipe> OpenPipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return FailErrno("pipe");
  Pipe pipe{AwayFromStdio(UniqueFd(fds[0])), AwayFromStdio(UniqueFd(fds[1]))};
  if (!pipe.read.valid() || !pipe.write.valid()) return FailErrno("pipe");
  return pipe;
}

Result<SocketPair> OpenSocketPair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    return FailErrno("socketpair");
  }
  SocketPair pair{AwayFromStdio(UniqueFd(fds[0])), AwayFromStdio(UniqueFd(fds[1]))};
  if (!pair.first.valid() || !pair.second.valid()) return FailErrno("socketpair");
  return pair;
}

void DropInheritedFds(std::initializer_list<int> keep, Stderr standard_error) {
  // A container may lack /dev/null; a descriptor for nothing but its number does as well.
  UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing.valid()) nothing.Reset(::open("/", O_PATH | O_CLOEXEC));
  nothing = AwayFromStdio(std::move(nothing));
  const bool keep_stderr = standard_error == Stderr::kKeep && ::fcntl(STDERR_FILENO, F_GETFD) >= 0;
  for (int fd = STDIN_FILENO; fd <= (keep_stderr ? STDOUT_FILENO : STDERR_FILENO); ++fd) {
    if (!nothing.valid() || ::dup2(nothing.get(), fd) < 0) ::close(fd);
  }
  nothing.Reset();
  std::vector<int> kept;
  std::ranges::copy_if(keep, std::back_inserter(kept), [](int fd) { return fd >= kFirstOwn; });
  CloseAllBut(std::move(kept));
}

}  // namespace agent
