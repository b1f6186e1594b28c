// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/install.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "agent/base/unique_fd.h"

namespace agent {
namespace {

constexpr std::size_t kMostAtOnce = 1u << 30;
constexpr mode_t kForAll = 0755;

Result<void> CopySelf(const UniqueFd& to, const std::string& path) {
  const UniqueFd from(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!from.valid()) return FailErrno("open", "/proc/self/exe");
  ssize_t copied = 0;
  while ((copied = ::sendfile(to.get(), from.get(), nullptr, kMostAtOnce)) > 0) {
  }
  if (copied < 0 || ::fchmod(to.get(), kForAll) != 0) return FailErrno("write", path);
  return {};
}

}  // namespace

Result<void> Install(const std::string& path) {
  // Of its own: init containers of several pods may write to one volume at the same time.
  std::string part = path + ".XXXXXX";
  const UniqueFd to(::mkostemp(part.data(), O_CLOEXEC));
  if (!to.valid()) return FailErrno("create", path);
  Result<void> done = CopySelf(to, part);
  if (done && ::rename(part.c_str(), path.c_str()) != 0) done = FailErrno("rename", path);
  if (!done) ::unlink(part.c_str());
  return done;
}

}  // namespace agent
