// SPDX-License-Identifier: Apache-2.0
#include "agent/process/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "agent/base/write_all.h"
#include "agent/process/end_as.h"
#include "agent/process/seqpacket.h"
#include "agent/process/stop_self.h"

namespace agent {
namespace {

constexpr Nanoseconds kFinishTime = std::chrono::seconds(1);
constexpr int kStatusUnknown = 1;
constexpr Nanoseconds kLauncherEndTime = std::chrono::milliseconds(200);

// Such a signal asks most programs to end.
bool AsksToEnd(int signal) {
  return signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT;
}

// What the terminal driver sends, it sends to the whole foreground group (drivers/tty). But a
// hangup goes to the session's leader alone, and an alarm() set before exec belongs to no group.
bool WasSentToGroup(const siginfo_t& info) {
  if (info.si_code != SI_KERNEL) return false;
  switch (info.si_signo) {
    case SIGALRM:
      return false;
    case SIGHUP:
    case SIGCONT:
      return ::getsid(0) != ::getpid();
    default:
      return true;
  }
}

}  // namespace

Keeper::Keeper(Program program, UniqueFd link, SupervisedSampler& sampler,
               std::optional<Display> display)
    : program_(std::move(program)),
      link_(std::move(link)),
      sampler_(sampler),
      display_(std::move(display)),
      signals_(OpenSignalFd(SignalSet::All())) {}

void Keeper::Run() {
  const SystemClock clock;
  while (!end_) {
    WaitUntil(sampler_.Check(clock.Now()));
    FollowGroup();  // before signals: its SIGCONT must not undo a stop that they ask for
    TakeSignals();
    TakeOutput();
    TakeReports();
    Reap();
    StopAsTarget();
  }
  End();
}

void Keeper::WaitUntil(MonotonicTime until) const {
  pollfd fds[] = {{signals_.get(), POLLIN, 0},
                  {link_.get(), POLLIN, 0},
                  {display_ ? display_->held->read_end() : -1, POLLIN, 0}};
  if (until == MonotonicTime::max()) {
    ::poll(fds, std::size(fds), -1);
    return;
  }
  const Nanoseconds left = std::max(until - SystemClock().Now(), Nanoseconds(0));
  const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
  ::ppoll(fds, std::size(fds), &timeout, nullptr);
}

void Keeper::TakeOutput() {
  if (display_) display_->held->Take();
}

void Keeper::Tell(const std::function<void(int)> TakenOutput::* what) const {
  if (display_ && display_->hooks.*what) (display_->hooks.*what)(display_->output);
}

// What its descendants write after it is theirs to lose, as with any reader that goes away.
void Keeper::ShowOutput() {
  if (!display_) return;
  display_->held->TakeAll();
  // Nobody may read it, ever: from now on the user's signals end or stop us. Those for the program
  // that are left are too late.
  SignalSet mask = SignalSet::All();
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP}) {
    siginfo_t info{};
    while (agent::TakeSignal(SignalSet::Of(signal), Nanoseconds(0), &info)) continue;
    mask = mask.Without(signal);
  }
  SetSignalMask(mask);
  static_cast<void>(WriteAll(display_->output, display_->held->Text()));
  SetSignalMask(SignalSet::All());
}

void Keeper::TakeSignals() {
  siginfo_t info{};
  while (agent::TakeSignal(SignalSet::All(), Nanoseconds(0), &info)) TakeSignal(info);
}

void Keeper::TakeSignal(const siginfo_t& info) {
  if (AsksToEnd(info.si_signo)) sampler_.Flush();
  if (IsForTarget(info)) Order({LauncherOrder::Kind::kSignal, info});
}

bool Keeper::IsForTarget(const siginfo_t& info) const {
  if (info.si_signo == SIGCHLD) return false;
  if (WasSentToGroup(info)) return !IsTargetInOurGroup();
  if (info.si_code != SI_USER) return true;
  const Pid sender{info.si_pid};
  if (sender == program_.launcher) return false;  // it wakes us, see Launcher::WakeKeeper
  // kill(0, ...) of the program has reached the program already. PID 1 it may well mean.
  return sender != program_.target || ::getpid() == 1 || !IsTargetInOurGroup();
}

bool Keeper::IsTargetInOurGroup() const {
  return ::getpgid(static_cast<pid_t>(program_.target)) == ::getpgrp();
}

// A program that makes a group of its own (timeout does) is then no part of the terminal's
// foreground any more. Without us it would have been the leader of the group that it was started
// in, and so have stayed there.
void Keeper::FollowGroup() {
  if (display_ || ::getpgrp() != ::getpid() || IsTargetInOurGroup()) return;
  const pid_t group = ::getpgid(static_cast<pid_t>(program_.target));
  const UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (group <= 0 || !terminal.valid() || ::tcgetpgrp(terminal.get()) != ::getpgrp() ||
      ::tcsetpgrp(terminal.get(), group) != 0) {
    return;
  }
  // Who has read from it meanwhile was stopped.
  ::kill(-group, SIGCONT);
  if (stopped_by_ == SIGTTIN || stopped_by_ == SIGTTOU) stopped_by_.reset();
}

void Keeper::Order(const LauncherOrder& order) {
  if (link_.valid()) {
    if (SendMessage(link_.get(), order)) return;
    TakeReports();  // the launcher may have died since we last looked
    if (link_.valid()) return;
  }
  // Ours to reap now, so its pid is its own.
  if (end_) return;
  siginfo_t info = order.info;
  if (order.kind == LauncherOrder::Kind::kContinueIfStopped) info.si_signo = SIGCONT;
  PassSignal(program_.target, info);
}

void Keeper::TakeReports() {
  LauncherReport report;
  while (link_.valid()) {
    switch (ReceiveMessage(link_.get(), &report)) {
      case Received::kMessage:
        TakeReport(report);
        break;
      case Received::kNothing:
        return;
      case Received::kClosed:
        link_.Reset();
        break;
    }
  }
}

void Keeper::TakeReport(const LauncherReport& report) {
  switch (report.kind) {
    case LauncherReport::Kind::kStarted:
    case LauncherReport::Kind::kFailed:
      break;
    case LauncherReport::Kind::kStopped:
      stopped_by_ = report.status;
      break;
    case LauncherReport::Kind::kContinued:
      stopped_by_.reset();
      break;
    case LauncherReport::Kind::kExited:
      stopped_by_.reset();
      end_ = report;
      break;
  }
}

void Keeper::Reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG | WUNTRACED | __WALL)) > 0) {
    const bool ended = WIFEXITED(status) || WIFSIGNALED(status);
    if (ended && sampler_.Reaped(Pid{pid}, status, SystemClock().Now())) continue;
    if (Pid{pid} != program_.target) continue;
    if (ended) {
      end_ = LauncherReport{
          .kind = LauncherReport::Kind::kExited, .status = status, .tree_cpu_ns = -1};
    } else if (WIFSTOPPED(status)) {
      stopped_by_ = WSTOPSIG(status);
    }
  }
  if (!link_.valid() && !end_ && ::kill(static_cast<pid_t>(program_.target), 0) != 0 &&
      errno == ESRCH) {
    // The launcher has reaped the program and died before it could say so: nobody knows its status.
    end_ = LauncherReport{.kind = LauncherReport::Kind::kExited,
                          .status = W_EXITCODE(kStatusUnknown, 0),
                          .tree_cpu_ns = -1};
  }
}

void Keeper::StopAsTarget() {
  if (!stopped_by_ || end_) return;
  const int signal = *stopped_by_;
  Tell(&TakenOutput::before_stop);
  StopSelf(signal, [this] {
    TakeReports();
    return !stopped_by_;
  });
  Tell(&TakenOutput::after_stop);
  stopped_by_.reset();
  // Who continued us alone (not the group, as a shell does) means the program.
  siginfo_t info{};
  if (agent::TakeSignal(SignalSet::Of(SIGCONT), Nanoseconds(0), &info) &&
      !(info.si_code == SI_USER && Pid{info.si_pid} == program_.launcher)) {
    Order({LauncherOrder::Kind::kContinueIfStopped, {}});
  }
}

void Keeper::End() {
  int status = end_->status;
  if (end_->exec_errno != 0) {
    sampler_.KillSilently();
  } else {
    sampler_.Finish(end_->tree_cpu_ns, kFinishTime);
  }
  Tell(&TakenOutput::at_end);
  if (end_->exec_errno != 0) {
    status = W_EXITCODE(ReportExecFailure(program_.argv, end_->exec_errno), 0);
  }
  ShowOutput();
  ReapLauncher();
  EndAs(status);
}

// Whoever waits for us sees the program's CPU time as that of our children, once the launcher,
// which is ours now that the sampler has ended, is reaped.
void Keeper::ReapLauncher() {
  if (!link_.valid()) return;
  link_.Reset();
  const SystemClock clock;
  const MonotonicTime deadline = clock.Now() + kLauncherEndTime;
  while (::waitpid(static_cast<pid_t>(program_.launcher), nullptr, WNOHANG) == 0) {
    const Nanoseconds left = deadline - clock.Now();
    siginfo_t info;
    if (left <= Nanoseconds(0)) return;
    agent::TakeSignal(SignalSet::Of(SIGCHLD), left, &info);
  }
}

}  // namespace agent
