// SPDX-License-Identifier: Apache-2.0
#include "agent/process/stop_self.h"

#include <unistd.h>

#include "agent/process/signal_set.h"

namespace agent {

void StopSelf(int signal, const std::function<bool()>& called_off) {
  if (signal == SIGSTOP || IsIgnored(signal)) {
    // Takes effect at once and cannot be called off once it is sent.
    if (!called_off()) ::kill(::getpid(), SIGSTOP);
    return;
  }
  ::kill(::getpid(), signal);  // joins one that the terminal has sent
  if (called_off()) {
    siginfo_t info;
    TakeSignal(SignalSet::Of(signal), Nanoseconds(0), &info);
    return;
  }
  const SignalSet mask = SetSignalMask(SignalSet::All().Without(signal));
  SetSignalMask(mask);
}

}  // namespace agent
