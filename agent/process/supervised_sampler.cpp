// SPDX-License-Identifier: Apache-2.0
#include "agent/process/supervised_sampler.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "agent/base/counted.h"
#include "agent/base/log.h"
#include "agent/process/capabilities.h"
#include "agent/process/own_fd.h"
#include "agent/process/proc_file.h"
#include "agent/process/seqpacket.h"
#include "agent/process/signal_set.h"
#include "agent/process/task_stat.h"

namespace agent {
namespace {

constexpr int kMostRestarts = 5;
constexpr Nanoseconds kFirstRestartDelay = std::chrono::seconds(1);
// SIGKILL does not end a process in an uninterruptible call; the program's status does not wait for
// it.
constexpr Nanoseconds kDeathTakes = std::chrono::milliseconds(500);
constexpr Nanoseconds kMostStarved = std::chrono::seconds(4);

// A new sampler is no ancestor of the program: Yama scope 1 wants the capability then.
bool MayAttachToStrangers() {
  const Result<std::string> scope = ReadProcFile("/proc/sys/kernel/yama/ptrace_scope");
  return !scope || scope->starts_with('0') || HasPtraceCapability();
}

// Of a sampler that cannot be looked at: not runnable.
SamplerCpu ReadSamplerCpu(Pid pid, const SharedPage& page) {
  const std::string folder = fmt::format("/proc/{}/task/{}", static_cast<pid_t>(pid),
                                         page.sampling_thread.load(std::memory_order_relaxed));
  const Result<TaskStat> stat = ReadTaskStat(folder);
  const Result<SchedStat> sched = ReadSchedStat(folder);
  if (!stat || !sched) return {};
  return {.runnable = stat->state == 'R', .run = sched->run};
}

// How long the thread of it that got a CPU most seldom has waited for one.
Nanoseconds LongestCpuWait(Pid pid) {
  const std::string folder = fmt::format("/proc/{}/task", static_cast<pid_t>(pid));
  Nanoseconds longest{0};
  for (const pid_t tid : NumbersIn(folder)) {
    const Result<SchedStat> sched = ReadSchedStat(fmt::format("{}/{}", folder, tid));
    if (sched) longest = std::max(longest, sched->wait);
  }
  return longest;
}

std::string HowItEnded(int wait_status, std::string_view kill_reason) {
  if (!kill_reason.empty()) return std::string(kill_reason);
  const int signal = WTERMSIG(wait_status);
  return fmt::format("was ended by signal {} ({})", signal, ::strsignal(signal));
}

}  // namespace

Result<void> SupervisedSampler::Start() {
  AGENT_TRY(SocketPair orders, OpenSocketPair());
  const bool restarted = restarts_ > 0;
  const pid_t pid = ::fork();
  if (pid < 0) return FailErrno("fork");
  if (pid == 0) {
    orders.first.Reset();
    // Not exit(): the keeper's buffers and handlers are not ours.
    ::_exit(main_(orders.second, restarted));
  }
  pid_ = Pid{pid};
  orders_ = std::move(orders.first);
  watchdog_ = Watchdog();
  kill_reason_ = {};
  return {};
}

void SupervisedSampler::Flush() {
  if (running()) SendMessage(orders_.get(), KeeperOrder{KeeperOrder::Kind::kFlush, -1});
}

bool SupervisedSampler::Reaped(Pid pid, int wait_status, MonotonicTime now) {
  if (pid != pid_ || pid == Pid{}) return false;
  pid_ = Pid{};
  orders_.Reset();
  if (WIFEXITED(wait_status)) {
    exit_status_ = WEXITSTATUS(wait_status);  // it has said why
  } else {
    exit_status_ = 1;
    ReportDeath(wait_status, now);
  }
  page_.holding_since.store(0, std::memory_order_relaxed);
  page_.pending_since.store(0, std::memory_order_relaxed);
  page_.samples_taken.store(0, std::memory_order_relaxed);
  page_.samples_delivered.store(0, std::memory_order_relaxed);
  return true;
}

void SupervisedSampler::ReportDeath(int wait_status, MonotonicTime now) {
  const std::uint64_t taken = page_.samples_taken.load(std::memory_order_relaxed);
  const std::uint64_t delivered = page_.samples_delivered.load(std::memory_order_relaxed);
  const std::uint64_t lost = taken - std::min(taken, delivered);
  LogWarn("the sampler {}: {} {} lost{}", HowItEnded(wait_status, kill_reason_),
          Counted(lost, "sample"), lost == 1 ? "is" : "are", PlanRestart(now));
}

std::string SupervisedSampler::PlanRestart(MonotonicTime now) {
  if (finishing_) return "";
  constexpr std::string_view kRunsOn = "; the program runs on";
  if (!MayAttachToStrangers()) {
    return fmt::format("{} without profiling (Yama lets only CAP_SYS_PTRACE attach a new sampler)",
                       kRunsOn);
  }
  if (restarts_ == kMostRestarts) {
    return fmt::format("{} without profiling (not the first time: giving up)", kRunsOn);
  }
  const Nanoseconds delay = kFirstRestartDelay * (1 << restarts_);
  restart_due_ = now + delay;
  return fmt::format("{}, a new sampler starts in {} s", kRunsOn,
                     std::chrono::duration_cast<std::chrono::seconds>(delay).count());
}

MonotonicTime SupervisedSampler::Check(MonotonicTime now) {
  if (restart_due_) {
    if (now < *restart_due_) return *restart_due_;
    restart_due_.reset();
    ++restarts_;
    if (const Result<void> started = Start(); !started) {
      LogWarn("cannot start a new sampler: {}", started.error().Message());
    }
  }
  if (!running()) return MonotonicTime::max();
  const Watchdog::Verdict verdict =
      watchdog_.Look(page_, now, [this] { return ReadSamplerCpu(pid_, page_); });
  if (verdict.hung) Kill("hung while it held a thread and was killed");
  return verdict.next_look;
}

void SupervisedSampler::Kill(std::string_view reason) {
  kill_reason_ = reason;
  ::kill(static_cast<pid_t>(pid_), SIGKILL);
}

void SupervisedSampler::Finish(std::int64_t tree_cpu_ns, Nanoseconds at_most) {
  const SystemClock clock;
  const MonotonicTime in_time = clock.Now() + at_most;
  MonotonicTime deadline = in_time;
  const Nanoseconds waited_before = running() ? LongestCpuWait(pid_) : Nanoseconds(0);
  finishing_ = true;
  restart_due_.reset();
  if (running()) {
    SendMessage(orders_.get(), KeeperOrder{KeeperOrder::Kind::kFinish, tree_cpu_ns});
  }
  bool killed = false;
  while (running()) {
    int status = 0;
    const pid_t pid = ::waitpid(static_cast<pid_t>(pid_), &status, WNOHANG);
    const MonotonicTime now = clock.Now();
    if (pid != 0) {
      Reaped(pid_, status, now);
      return;
    }
    if (now >= deadline + kDeathTakes) return;
    if (now >= deadline && !killed) {
      // On a machine that is too busy it gets the time that it could not use.
      deadline = in_time + std::min(LongestCpuWait(pid_) - waited_before, kMostStarved);
      if (now < deadline) continue;
      Kill("did not finish in time and was killed");
      killed = true;
    }
    const MonotonicTime until = std::min(Check(now), killed ? deadline + kDeathTakes : deadline);
    siginfo_t info;
    TakeSignal(SignalSet::Of(SIGCHLD), std::max(until - now, Nanoseconds(0)), &info);
  }
}

void SupervisedSampler::KillSilently() {
  if (!running()) return;
  ::kill(static_cast<pid_t>(pid_), SIGKILL);
  ::waitpid(static_cast<pid_t>(pid_), nullptr, 0);
  pid_ = Pid{};
}

}  // namespace agent
