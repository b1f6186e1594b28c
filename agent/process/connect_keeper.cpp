// SPDX-License-Identifier: Apache-2.0
#include "agent/process/connect_keeper.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "agent/process/stop_self.h"

namespace agent {
namespace {

constexpr Nanoseconds kFinishTime = std::chrono::seconds(2);
constexpr std::int64_t kCpuUnknown = -1;

}  // namespace

int ConnectKeeper::Run() {
  const SystemClock clock;
  while (!sampler_.done()) {
    const MonotonicTime until = sampler_.Check(clock.Now());
    const Nanoseconds left = std::max(until - clock.Now(), Nanoseconds(0));
    const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    pollfd signals{signals_.get(), POLLIN, 0};
    ::ppoll(&signals, 1, until == MonotonicTime::max() ? nullptr : &timeout, nullptr);
    siginfo_t info{};
    while (agent::TakeSignal(SignalSet::All(), Nanoseconds(0), &info)) TakeSignal(info);
    Reap();
  }
  return sampler_.exit_status();
}

void ConnectKeeper::TakeSignal(const siginfo_t& info) {
  switch (info.si_signo) {
    case SIGINT:
    case SIGTERM:
    case SIGHUP:
    case SIGQUIT:
      // nohup, and `&` in a script, mean that we should not hear of these.
      if (!IsIgnored(info.si_signo)) sampler_.Finish(kCpuUnknown, kFinishTime);
      break;
    case SIGTSTP:
      if (!IsIgnored(SIGTSTP)) Stop();
      break;
    default:
      break;
  }
}

void ConnectKeeper::Stop() {
  before_stop_();
  StopSelf(SIGTSTP, [] { return false; });
  after_stop_();
}

void ConnectKeeper::Reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    sampler_.Reaped(Pid{pid}, status, SystemClock().Now());
  }
}

}  // namespace agent
