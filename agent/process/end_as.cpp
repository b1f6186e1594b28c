// SPDX-License-Identifier: Apache-2.0
#include "agent/process/end_as.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/process/signal_set.h"

namespace agent {

void EndAs(int wait_status) {
  if (!WIFSIGNALED(wait_status)) ::_exit(WEXITSTATUS(wait_status));
  const int signal = WTERMSIG(wait_status);
  // The one core file is the program's. The limit alone does not hold where core_pattern is a pipe.
  ::prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  SetDisposition(signal, SIG_DFL);
  ::kill(::getpid(), signal);
  SetSignalMask(SignalSet::All().Without(signal));
  ::_exit(128 + signal);
}

}  // namespace agent
