// SPDX-License-Identifier: Apache-2.0
#include "agent/process/signal_set.h"

#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>

#include "agent/process/own_fd.h"

namespace agent {

SignalSet SetSignalMask(SignalSet mask) {
  SignalSet before;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof(mask));
  return before;
}

bool TakeSignal(SignalSet set, Nanoseconds at_most, siginfo_t* info) {
  const timespec timeout{at_most.count() / 1'000'000'000, at_most.count() % 1'000'000'000};
  return ::syscall(SYS_rt_sigtimedwait, &set, info, &timeout, sizeof(set)) > 0;
}

UniqueFd OpenSignalFd(SignalSet set) {
  return AwayFromStdio(UniqueFd(static_cast<int>(
      ::syscall(SYS_signalfd4, -1, &set, sizeof(set), SFD_CLOEXEC | SFD_NONBLOCK))));
}

bool IsIgnored(int signal) {
  struct sigaction action{};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

void SetDisposition(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace agent
