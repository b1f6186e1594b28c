// SPDX-License-Identifier: Apache-2.0
#include "agent/process/tracer.h"

#include <elf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>

namespace agent {
namespace {

std::int64_t Now() { return SystemClock().Now().time_since_epoch().count(); }

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

// A thread that went to sleep between our look at its state and the stop would see EINTR.
// -ERESTARTNOHAND makes the kernel restart the call, unless a signal with a handler is there: that
// one still interrupts it.
void ShieldInterruptedCall(pid_t tid) {
  constexpr std::uint64_t kErestartNoHand = 514;
  user_regs_struct registers{};
  iovec vector{&registers, sizeof(registers)};
  if (::ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &vector) != 0) return;
  if (static_cast<std::int64_t>(registers.orig_rax) < 0) return;
  if (static_cast<std::int64_t>(registers.rax) != -EINTR) return;
  if (!FailsWithEintrAfterStop(registers.orig_rax)) return;
  registers.rax = -kErestartNoHand;
  ::ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &vector);
}
#else
void ShieldInterruptedCall(pid_t) {}
#endif

void Detach(Tid tid, int signal) {
  ::ptrace(PTRACE_DETACH, static_cast<pid_t>(tid), nullptr, signal);
}

// Until SIGCHLD comes or the time is over.
void WaitForChild(Nanoseconds at_most) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  const timespec timeout{at_most.count() / 1'000'000'000, at_most.count() % 1'000'000'000};
  ::sigtimedwait(&set, nullptr, &timeout);
}

}  // namespace

StoppedThread::StoppedThread(Tracer* tracer, Tid tid, int signal, MonotonicTime since)
    : tracer_(tracer), tid_(tid), signal_(signal), since_(since) {}

StoppedThread::StoppedThread(StoppedThread&& other) noexcept
    : tracer_(std::exchange(other.tracer_, nullptr)),
      tid_(other.tid_),
      signal_(other.signal_),
      since_(other.since_) {}

StoppedThread::~StoppedThread() {
  if (tracer_ != nullptr) tracer_->Release(tid_, signal_, since_);
}

bool Tracer::NextEvent(Event* event) {
  int status = 0;
  const pid_t pid = ::waitpid(-1, &status, __WALL | WNOHANG);
  if (pid <= 0) return false;
  event->tid = Tid{pid};
  event->stopped = WIFSTOPPED(status);
  // A stop without an event is the delivery of a signal; with PTRACE_EVENT_STOP it is ours or a
  // group stop, and detaching leaves the thread in the group stop.
  event->signal = event->stopped && status >> 16 == 0 ? WSTOPSIG(status) : 0;
  return true;
}

void Tracer::HandleStray(const Event& event) {
  if (event.stopped) Detach(event.tid, event.signal);
  std::erase_if(pending_, [&](const Pending& pending) { return pending.tid == event.tid; });
  page_.pending_since.store(pending_.empty() ? 0 : Now(), std::memory_order_relaxed);
}

void Tracer::Collect() {
  Event event;
  while (NextEvent(&event)) HandleStray(event);
  // The watchdog's sign of life: a thread in D state may take its time, we may not.
  if (!pending_.empty()) page_.pending_since.store(Now(), std::memory_order_relaxed);
}

Result<StoppedThread> Tracer::Stop(Pid process, Tid tid, MonotonicTime deadline) {
  // While another thread of it is attached and not stopped, the process may be in exec and wait for
  // us to reap that thread: PTRACE_SEIZE would then wait for the exec.
  if (std::ranges::find(pending_, process, &Pending::process) != pending_.end()) {
    return Fail(Errc::kTimeout, "another thread of the process is about to stop");
  }
  const SystemClock clock;
  const auto id = static_cast<pid_t>(tid);
  if (::ptrace(PTRACE_SEIZE, id, nullptr, nullptr) != 0) return FailErrno("PTRACE_SEIZE");
  const MonotonicTime since = clock.Now();
  page_.holding_since.store(since.time_since_epoch().count(), std::memory_order_relaxed);
  // Fails only when the thread is dying: the event comes all the same.
  ::ptrace(PTRACE_INTERRUPT, id, nullptr, nullptr);
  while (true) {
    Event event;
    while (NextEvent(&event)) {
      if (event.tid != tid) {
        HandleStray(event);
        continue;
      }
      if (!event.stopped) {
        page_.holding_since.store(0, std::memory_order_relaxed);
        return Fail(Errc::kGone, "the thread has ended");
      }
      ShieldInterruptedCall(id);
      return StoppedThread(this, tid, event.signal, clock.Now());
    }
    const Nanoseconds left = deadline - clock.Now();
    if (left <= Nanoseconds(0)) break;
    WaitForChild(left);
  }
  // A thread that has not stopped cannot be detached: it stays attached until it does.
  pending_.push_back({process, tid});
  page_.pending_since.store(Now(), std::memory_order_relaxed);
  page_.holding_since.store(0, std::memory_order_relaxed);
  return Fail(Errc::kTimeout, "the thread did not stop in time");
}

void Tracer::Release(Tid tid, int signal, MonotonicTime since) {
  Detach(tid, signal);
  page_.holding_since.store(0, std::memory_order_relaxed);
  pauses_.Add(SystemClock().Now() - since);
}

}  // namespace agent
