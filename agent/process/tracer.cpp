// SPDX-License-Identifier: Apache-2.0
#include "agent/process/tracer.h"

#include <elf.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agent/process/proc_file.h"
#include "agent/process/signal_set.h"
#include "agent/process/task_stat.h"

namespace agent {
namespace {

// A thread that runs stops within microseconds. One that has not by then waits for a CPU, or sleeps
// in the kernel.
constexpr std::chrono::milliseconds kOverdue{10};
constexpr std::chrono::milliseconds kCheckPeriod{50};
// Watching for a stop is quicker than going to sleep and being woken.
constexpr std::chrono::microseconds kSpin{30};

struct WaitStatus {
  pid_t pid = 0;
  int status = 0;
};

std::int64_t Count(MonotonicTime time) { return time.time_since_epoch().count(); }

#if defined(__x86_64__)
// Calls that a stop makes fail with EINTR though no signal was delivered (signal(7), "Interruption
// of system calls ... by stop signals", and measured).
bool FailsWithEintrAfterStop(std::uint64_t number) {
  switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_read:  // sockets with a timeout: recv, send and accept as well
    case SYS_write:
    case SYS_readv:
    case SYS_writev:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_rt_sigtimedwait:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_io_getevents:
    case SYS_io_uring_enter:
      return true;
    default:
      return false;
  }
}

// What the kernel's own include/linux/errno.h has: a call to be begun again, as no program sees it.
constexpr std::int64_t kErestartSys = 512;
constexpr std::int64_t kErestartNoHand = 514;
constexpr std::int64_t kErestartRestartBlock = 516;

// A thread that went to sleep between our look at its state and the stop would see EINTR.
// -ERESTARTNOHAND makes the kernel restart the call, unless a signal with a handler is there: that
// one still interrupts it.
bool NeedsShield(const user_regs_struct& registers) {
  return static_cast<std::int64_t>(registers.orig_rax) >= 0 &&
         static_cast<std::int64_t>(registers.rax) == -EINTR &&
         FailsWithEintrAfterStop(registers.orig_rax);
}

// Those that programs sleep, yield and wake each other by.
bool IsWaitCall(std::uint64_t number) {
  switch (number) {
    case SYS_futex:
    case SYS_sched_yield:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_pause:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_rt_sigtimedwait:
    case SYS_rt_sigsuspend:
      return true;
    default:
      return false;
  }
}

bool HasWaited(const user_regs_struct& registers) {
  const auto result = static_cast<std::int64_t>(registers.rax);
  return static_cast<std::int64_t>(registers.orig_rax) >= 0 &&
         ((result <= -kErestartSys && result >= -kErestartRestartBlock) || NeedsShield(registers));
}

bool ReadAndShield(Tid tid, Registers& registers) {
  user_regs_struct raw;
  iovec vector{&raw, sizeof(raw)};
  if (::ptrace(PTRACE_GETREGSET, static_cast<pid_t>(tid), NT_PRSTATUS, &vector) != 0) return false;
  registers.values = {raw.rax, raw.rdx, raw.rcx, raw.rbx, raw.rsi, raw.rdi,
                      raw.rbp, raw.rsp, raw.r8,  raw.r9,  raw.r10, raw.r11,
                      raw.r12, raw.r13, raw.r14, raw.r15, raw.rip};
  registers.thread_pointer = raw.fs_base;
  registers.waited = HasWaited(raw);
  registers.in_wait_call = static_cast<std::int64_t>(raw.orig_rax) >= 0 && IsWaitCall(raw.orig_rax);
  if (NeedsShield(raw)) {
    raw.rax = static_cast<std::uint64_t>(-kErestartNoHand);
    ::ptrace(PTRACE_SETREGSET, static_cast<pid_t>(tid), NT_PRSTATUS, &vector);
  }
  return true;
}
#else
// The kernel has put the first argument in the place of the result already (arm64): no shield.
bool ReadAndShield(Tid tid, Registers& registers) {
  user_regs_struct raw;
  iovec vector{&raw, sizeof(raw)};
  if (::ptrace(PTRACE_GETREGSET, static_cast<pid_t>(tid), NT_PRSTATUS, &vector) != 0) return false;
  std::copy_n(raw.regs, 31, registers.values.begin());
  registers.values[RegisterNumbers::kSp] = raw.sp;
  registers.values[RegisterNumbers::kPc] = raw.pc;
  return true;
}
#endif

// False: it was killed while it stood still, and is attached until its end is reaped.
bool Detach(Tid tid, int signal) {
  return ::ptrace(PTRACE_DETACH, static_cast<pid_t>(tid), nullptr, signal) == 0;
}

// Whether the kernel will never say that it stopped or ended: a main thread that ended before the
// others of its process (wait(2) holds back a thread group's leader until they have ended too), or
// a thread that has executed a program and is known by its process's id since.
bool IsUnreported(Pid process, Tid tid) {
  const auto id = static_cast<pid_t>(tid);
  const Result<TaskStat> stat =
      ReadTaskStat(fmt::format("/proc/{}/task/{}", static_cast<pid_t>(process), id));
  return !stat || (stat->HasEnded() && id == static_cast<pid_t>(process));
}

bool WaitNow(WaitStatus* event) {
  event->pid = ::waitpid(-1, &event->status, __WALL | WNOHANG);
  return event->pid > 0;
}

// Events that OnChild took out of the kernel's hands while we were in PTRACE_SEIZE. Of the sampling
// thread only, and SIGCHLD is blocked wherever they are read.
constexpr std::size_t kMaxReaped = 1024;
std::array<WaitStatus, kMaxReaped> reaped;  // NOLINT: a signal handler has no other place
std::size_t reaped_count = 0;               // NOLINT
std::size_t reaped_taken = 0;               // NOLINT

void OnChild(int) {
  const int saved = errno;
  while (reaped_count < kMaxReaped && WaitNow(&reaped[reaped_count])) ++reaped_count;
  errno = saved;
}

// PTRACE_SEIZE waits while the process executes a program, and that waits until its other threads
// are reaped, by us where we are attached to them. So children are reaped in the middle of the
// call: the kernel restarts it (ERESTARTNOINTR in ptrace_attach).
bool SeizeAndReap(pid_t tid) {
  const SignalSet before = SetSignalMask(SignalSet::All().Without(SIGCHLD));
  const bool seized = ::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) == 0;
  const int error = errno;
  SetSignalMask(before);
  errno = error;
  return seized;
}

// Until SIGCHLD comes or the time is over.
void WaitForChild(Nanoseconds at_most) {
  siginfo_t info;
  TakeSignal(SignalSet::Of(SIGCHLD), at_most, &info);
}

}  // namespace

struct Tracer::Event {
  Tid tid{};
  bool stopped = false;  // else the task has ended
  int signal = 0;        // to be passed on

  // The next one of any child or attached thread, if there is one now.
  static bool Next(Event* event);
};

bool Tracer::Event::Next(Event* event) {
  WaitStatus next;
  if (reaped_taken < reaped_count) {
    next = reaped[reaped_taken++];
    if (reaped_taken == reaped_count) reaped_taken = reaped_count = 0;
  } else if (!WaitNow(&next)) {
    return false;
  }
  event->tid = Tid{next.pid};
  event->stopped = WIFSTOPPED(next.status);
  // A stop without an event is the delivery of a signal; with PTRACE_EVENT_STOP it is ours or a
  // group stop, and detaching leaves the thread in the group stop.
  event->signal = event->stopped && next.status >> 16 == 0 ? WSTOPSIG(next.status) : 0;
  return true;
}

Tracer::Tracer(SharedPage& page) : page_(page) {
  struct sigaction action{};
  action.sa_handler = OnChild;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGCHLD, &action, nullptr);
}

void Tracer::Handle(const Event& event) {
  const auto found = std::ranges::find(pending_, event.tid, &Pending::tid);
  Pending pending{};
  if (found != pending_.end()) {
    pending = *found;
    *found = pending_.back();
    pending_.pop_back();
  }
  StopClient* client = pending.client;
  bool detached = true;
  if (!event.stopped) {
    if (client != nullptr) client->OnGone(event.tid);
  } else if (client == nullptr) {
    detached = Detach(event.tid, event.signal);
  } else {
    const SystemClock clock;
    const MonotonicTime since = clock.Now();
    Registers registers;
    const bool stands = ReadAndShield(event.tid, registers);
    if (stands) client->OnStopped(event.tid, registers);
    detached = Detach(event.tid, event.signal);
    const MonotonicTime now = clock.Now();
    pauses_.Add(now - since);
    if (stands) {
      client->OnReleased(event.tid);
    } else {
      client->OnGone(event.tid);
    }
  }
  // The exec that killed it waits until we have reaped it, and PTRACE_SEIZE for the exec.
  if (!detached && pending.process != Pid{}) {
    pending.client = nullptr;
    pending_.push_back(pending);
  }
  if (pending_.empty()) UpdatePage({});
}

// What the keeper's watchdog goes by: a thread may stand still from the request on; one that is
// overdue may take its time, we may not.
void Tracer::UpdatePage(MonotonicTime now) {
  MonotonicTime oldest = MonotonicTime::max();
  for (const Pending& pending : pending_) {
    if (now - pending.since < kOverdue) oldest = std::min(oldest, pending.since);
  }
  page_.holding_since.store(oldest == MonotonicTime::max() ? 0 : Count(oldest),
                            std::memory_order_relaxed);
  page_.pending_since.store(pending_.empty() ? 0 : Count(now), std::memory_order_relaxed);
}

void Tracer::Collect() {
  Event event;
  while (Event::Next(&event)) Handle(event);
  LookAfterPending();
}

void Tracer::LookAfterPending() {
  if (pending_.empty()) return;
  const MonotonicTime now = SystemClock().Now();
  DropUnreported(now);
  UpdatePage(now);
}

// What would stay on the list for good.
void Tracer::DropUnreported(MonotonicTime now) {
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    Pending& pending = pending_[i];
    if (now - std::max(pending.since, pending.checked) < kCheckPeriod) continue;
    pending.checked = now;
    if (!IsUnreported(pending.process, pending.tid)) continue;
    const Pending dropped = pending;
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i--));
    if (dropped.client != nullptr) dropped.client->OnGone(dropped.tid);
  }
}

Result<void> Tracer::Interrupt(Pid process, Tid tid, StopClient& client) {
  const MonotonicTime now = SystemClock().Now();
  if (std::ranges::find(pending_, tid, &Pending::tid) != pending_.end()) {
    return Fail(Errc::kTimeout, "it has not stopped since it was last asked");
  }
  const auto id = static_cast<pid_t>(tid);
  const auto seize = [&] {
    return pending_.empty() ? ::ptrace(PTRACE_SEIZE, id, nullptr, nullptr) == 0 : SeizeAndReap(id);
  };
  bool seized = seize();
  if (!seized && errno == EPERM) {
    // The kernel says the same of a thread that has just ended, and of one that is attached
    // already: to a debugger, or to us from before it executed this program.
    const std::string folder = fmt::format("/proc/{}", id);
    AGENT_TRY(const TaskStat stat, ReadTaskStat(folder));
    if (stat.HasEnded()) return Fail(Errc::kGone, "the thread has ended");
    AGENT_TRY(const std::string status, ReadProcFile(folder + "/status"));
    if (status.find("\nTracerPid:\t0\n") == std::string::npos) {
      return Fail(Errc::kTimeout, "another tracer holds the thread");
    }
    seized = seize();  // a main thread ended, and the thread that executes a program took its place
  }
  if (!seized) return FailErrno("PTRACE_SEIZE");
  pending_.push_back(
      {.process = process, .tid = tid, .since = now, .client = &client, .checked = {}});
  if (pending_.size() == 1) UpdatePage(now);
  // Fails only when the thread is dying: the event comes all the same.
  ::ptrace(PTRACE_INTERRUPT, id, nullptr, nullptr);
  return {};
}

void Tracer::AwaitStops(MonotonicTime until) {
  if (pending_.empty()) return;
  const SystemClock clock;
  MonotonicTime spin_until = clock.Now() + kSpin;
  while (true) {
    Event event;
    bool came = false;
    while (Event::Next(&event)) {
      Handle(event);
      came = true;
    }
    const MonotonicTime now = clock.Now();
    if (came) spin_until = now + kSpin;
    if (std::ranges::none_of(pending_, [&](const Pending& pending) {
          return pending.client != nullptr && now - pending.since < kOverdue;
        })) {
      break;
    }
    if (now >= until) break;
    if (now >= spin_until) WaitForChild(until - now);
  }
  LookAfterPending();
}

void Tracer::LetGo() {
  pending_.clear();
  UpdatePage({});
}

void Tracer::Forget(const StopClient& client) {
  for (Pending& pending : pending_) {
    if (pending.client == &client) pending.client = nullptr;
  }
}

}  // namespace agent
