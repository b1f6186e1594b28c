// SPDX-License-Identifier: Apache-2.0
#include "agent/process/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include "agent/process/capabilities.h"
#include "agent/process/own_fd.h"
#include "agent/process/seqpacket.h"

namespace agent {
namespace {

constexpr int kGoTimeoutMs = 300;
// kill(-group, SIGCONT) reaches the keeper and the program one after the other.
constexpr Nanoseconds kGroupContinue = std::chrono::milliseconds(20);

std::int64_t CpuNs(const rusage& usage) {
  const auto ns = [](const timeval& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + std::int64_t{time.tv_usec} * 1'000;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

[[noreturn]] void BecomeTarget(const LauncherStart& start, const UniqueFd& exec_errno) {
  start.page->target.store(::getpid(), std::memory_order_relaxed);
  pollfd go{start.go.get(), POLLIN, 0};
  ::poll(&go, 1, kGoTimeoutMs);
  const int error = ExecAsInherited(start.argv, start.inherited);
  [[maybe_unused]] const ssize_t written = ::write(exec_errno.get(), &error, sizeof(error));
  ::_exit(127);
}

class Launcher {
 public:
  Launcher(Pid keeper, Pid target, UniqueFd link, UniqueFd exec_errno)
      : keeper_(keeper),
        target_(target),
        link_(std::move(link)),
        exec_errno_(std::move(exec_errno)),
        signals_(OpenSignalFd(SignalSet::All())) {}

  [[noreturn]] void Run() {
    LauncherReport started;
    started.target = static_cast<pid_t>(target_);
    started.launcher = ::getpid();
    Report(started);
    while (true) {
      pollfd fds[] = {{signals_.get(), POLLIN, 0}, {link_.get(), POLLIN, 0}};
      ::poll(fds, 2, -1);
      DropSignals();
      Reap();
      TakeOrders();
    }
  }

 private:
  // Nothing is meant for us; signals left pending would use up the user's RLIMIT_SIGPENDING.
  static void DropSignals() {
    siginfo_t info;
    while (TakeSignal(SignalSet::All(), Nanoseconds(0), &info)) {
    }
  }

  void Reap() {
    std::optional<int> target_status;
    int status = 0;
    rusage usage{};
    pid_t pid = 0;
    while ((pid = ::wait4(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WALL, &usage)) > 0) {
      const bool ended = WIFEXITED(status) || WIFSIGNALED(status);
      if (ended) tree_cpu_ns_ += CpuNs(usage);
      if (Pid{pid} != target_) continue;
      if (ended) {
        target_status = status;
        running_ = false;
      } else if (WIFSTOPPED(status)) {
        stopped_ = true;
        Report({.kind = LauncherReport::Kind::kStopped, .status = WSTOPSIG(status)});
      } else {
        stopped_ = false;
        Report({.kind = LauncherReport::Kind::kContinued});
        WakeKeeper();
      }
    }
    // Last, so that the time of all that ended with it is in.
    if (target_status) ReportExit(*target_status);
  }

  void ReportExit(int status) {
    LauncherReport report{.kind = LauncherReport::Kind::kExited, .status = status};
    if (::read(exec_errno_.get(), &report.exec_errno, sizeof(int)) != sizeof(int)) {
      report.exec_errno = 0;
    }
    report.tree_cpu_ns = tree_cpu_ns_;
    Report(report);
    WakeKeeper();
  }

  void Report(const LauncherReport& report) { SendMessage(link_.get(), report); }

  // A keeper that has stopped itself after the program cannot read what we tell it.
  void WakeKeeper() { ::kill(static_cast<pid_t>(keeper_), SIGCONT); }

  void TakeOrders() {
    LauncherOrder order;
    while (true) {
      switch (ReceiveMessage(link_.get(), &order)) {
        case Received::kMessage:
          Obey(order);
          break;
        case Received::kNothing:
          return;
        case Received::kClosed:
          EndWithKeeper();
      }
    }
  }

  void Obey(const LauncherOrder& order) {
    if (!running_) return;
    switch (order.kind) {
      case LauncherOrder::Kind::kSignal:
        PassSignal(target_, order.info);
        break;
      case LauncherOrder::Kind::kContinueIfStopped:
        AwaitContinue();
        if (running_ && stopped_) ::kill(static_cast<pid_t>(target_), SIGCONT);
        break;
    }
  }

  void AwaitContinue() {
    const SystemClock clock;
    const MonotonicTime deadline = clock.Now() + kGroupContinue;
    siginfo_t info;
    while (running_ && stopped_) {
      const Nanoseconds left = deadline - clock.Now();
      if (left <= Nanoseconds(0) || !TakeSignal(SignalSet::All(), left, &info)) return;
      Reap();
    }
  }

  // kill -9 of the process that the user started means the program, as it would without us.
  [[noreturn]] void EndWithKeeper() {
    if (running_) {
      ::kill(static_cast<pid_t>(target_), SIGKILL);
      ::waitpid(static_cast<pid_t>(target_), nullptr, __WALL);
    }
    ::_exit(0);
  }

  const Pid keeper_;
  const Pid target_;
  const UniqueFd link_;
  const UniqueFd exec_errno_;
  const UniqueFd signals_;
  bool running_ = true;
  bool stopped_ = false;
  std::int64_t tree_cpu_ns_ = 0;
};

[[noreturn]] void FailToStart(const UniqueFd& link) {
  SendMessage(link.get(), LauncherReport{.kind = LauncherReport::Kind::kFailed, .status = errno});
  ::_exit(1);
}

}  // namespace

void RunLauncher(LauncherStart start) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL);
  Result<Pipe> exec_errno = OpenPipe();
  if (!exec_errno) FailToStart(start.link);
  const pid_t target = ::fork();
  if (target < 0) FailToStart(start.link);
  if (target == 0) BecomeTarget(start, exec_errno->write);
  exec_errno->write.Reset();
  ::fcntl(exec_errno->read.get(), F_SETFL, O_NONBLOCK);
  ::prctl(PR_SET_NAME, "agent-launcher");
  [[maybe_unused]] const ssize_t written = ::write(start.to_sampler.get(), &target, sizeof(target));
  DropInheritedFds({start.link.get(), exec_errno->read.get()}, Stderr::kDrop);
  // Its signals would not reach the program otherwise.
  if (start.inherited.run_as && !HasCapability(CAP_KILL)) {
    static_cast<void>(Become(*start.inherited.run_as));
  }
  static_cast<void>(start.to_sampler.Release());
  static_cast<void>(start.go.Release());
  Launcher(start.inherited.keeper, Pid{target}, std::move(start.link), std::move(exec_errno->read))
      .Run();
}

void PassSignal(Pid target, const siginfo_t& info) {
  const auto pid = static_cast<pid_t>(target);
  // rt_sigqueueinfo(2) refuses codes that would pass for kill() or tgkill().
  if (info.si_code < 0 && info.si_code != SI_TKILL) {
    if (::syscall(SYS_rt_sigqueueinfo, pid, info.si_signo, &info) == 0) return;
  }
  ::kill(pid, info.si_signo);
}

}  // namespace agent
