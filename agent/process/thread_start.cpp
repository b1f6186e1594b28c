// SPDX-License-Identifier: Apache-2.0
#include "agent/process/thread_start.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace agent {
namespace {

// Asked with no arguments at all the kernel says EINVAL, or ENOSYS below Linux 5.3.
bool IsClone3Refused() {
  return ::syscall(SYS_clone3, nullptr, 0) == -1 && errno != EINVAL && errno != ENOSYS;
}

}  // namespace

Result<void> EnsureThreadsStart() {
  if (!IsClone3Refused()) return {};
  std::array filter = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{filter.size(), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0 ||
      ::prctl(PR_SET_SECCOMP, static_cast<unsigned long>(SECCOMP_MODE_FILTER), &program, 0UL,
              0UL) != 0) {
    return FailErrno("a filter refuses clone3, and we may not set one that mends it");
  }
  return {};
}

}  // namespace agent
