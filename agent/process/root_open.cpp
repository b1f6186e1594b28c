// SPDX-License-Identifier: Apache-2.0
#include "agent/process/root_open.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace agent {
namespace {

// Below Linux 5.6. Links are refused rather than resolved: the caller has another way to the file
// or goes without.
UniqueFd WalkByComponent(const UniqueFd& root, std::string_view path) {
  UniqueFd here(::openat(root.get(), ".", O_PATH | O_CLOEXEC));
  while (here.valid() && !path.empty()) {
    const std::size_t end = path.find('/');
    const std::string name(path.substr(0, end));
    path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      errno = ELOOP;
      return UniqueFd();
    }
    const bool last = path.empty();
    here.Reset(::openat(here.get(), name.c_str(),
                        O_PATH | O_NOFOLLOW | O_CLOEXEC | (last ? 0 : O_DIRECTORY)));
  }
  return here;
}

}  // namespace

Result<UniqueFd> ReopenRegular(const UniqueFd& path_fd) {
  struct stat info{};
  if (::fstat(path_fd.get(), &info) != 0) return FailErrno("fstat");
  if (!S_ISREG(info.st_mode)) return Fail(Errc::kMalformed, "not a regular file");
  const std::string self = fmt::format("/proc/self/fd/{}", path_fd.get());
  UniqueFd file(::open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return FailErrno("open");
  return file;
}

Result<UniqueFd> FindInRoot(const UniqueFd& root, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd found(
      static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof(how))));
  if (!found.valid() && (errno == ENOSYS || errno == EPERM)) found = WalkByComponent(root, path);
  if (!found.valid()) return FailErrno("open", path);
  return found;
}

Result<UniqueFd> OpenInRoot(const UniqueFd& root, const std::string& path) {
  AGENT_TRY(const UniqueFd found, FindInRoot(root, path));
  return ReopenRegular(found);
}

}  // namespace agent
