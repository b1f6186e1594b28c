// SPDX-License-Identifier: Apache-2.0
// Prints "ready", then each signal that reaches it: number, si_code, value (of those that carry
// one). Signals are taken by the kernel's numbers, libc's own included. Ends at signal 64 with
// value 64.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

int main() {
  const std::uint64_t all = ~std::uint64_t{0};
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof(all));
  std::puts("ready");
  std::fflush(stdout);
  while (true) {
    siginfo_t info{};
    if (::syscall(SYS_rt_sigtimedwait, &all, &info, nullptr, sizeof(all)) < 0) continue;
    const int value = info.si_code == SI_QUEUE ? info.si_value.sival_int : 0;
    std::printf("%d %d %d\n", info.si_signo, info.si_code, value);
    std::fflush(stdout);
    if (info.si_signo == 64 && value == 64) return 0;
  }
}
