// SPDX-License-Identifier: Apache-2.0
// A stop of a running thread beside its floor (the same system calls and nothing else), and what
// the walk costs afterwards. usage: bench_stops [STOPS]
#include <elf.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "agent/base/clock.h"
#include "agent/process/live_process.h"
#include "agent/process/supervision.h"
#include "agent/process/tracer.h"
#include "spies/unwind/code_files.h"
#include "spies/unwind/unwinder.h"

namespace {

using namespace agent;

constexpr std::size_t kCopy = 16 << 10;

volatile std::uint64_t sink;

[[gnu::noinline]] void Recurse(int depth) {
  if (depth == 0) {
    while (sink != ~std::uint64_t{0}) sink = sink + 1;
    return;
  }
  Recurse(depth - 1);
  sink = sink + 1;
}

// What a stop cannot do without. Returns how long the thread was stopped, from the request on.
Nanoseconds Floor(pid_t pid, std::vector<std::byte>& copy) {
  const SystemClock clock;
  ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr);
  const MonotonicTime begin = clock.Now();
  ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
  while (::waitpid(pid, nullptr, __WALL | WNOHANG) == 0) {
  }
  user_regs_struct registers;
  iovec vector{&registers, sizeof(registers)};
  ::ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vector);
#if defined(__x86_64__)
  auto* sp = reinterpret_cast<void*>(registers.rsp - 128);  // NOLINT(performance-no-int-to-ptr)
#else
  auto* sp = reinterpret_cast<void*>(registers.sp - 128);  // NOLINT(performance-no-int-to-ptr)
#endif
  const iovec local{copy.data(), copy.size()};
  const iovec remote{sp, copy.size()};
  ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
  return clock.Now() - begin;
}

class Copier final : public StopClient {
 public:
  explicit Copier(LiveProcess& process) : process_(process) {}
  void OnStopped(Tid, const Registers& registers) override {
    snapshot.registers = registers;
    StackCopy& copy = snapshot.stacks[0];
    copy.start = registers.sp() - ThreadSnapshot::kRedZone;
    copy.bytes.resize(kCopy);
    copy.bytes.resize(
        process_.memory().ReadSome(RemoteAddress(copy.start), copy.bytes).value_or(0));
  }
  void OnReleased(Tid) override {}
  void OnGone(Tid) override {}
  ThreadSnapshot snapshot;

 private:
  LiveProcess& process_;
};

class Nobody final : public unwind::ModuleListener {
  void OnModule(const Module&, std::shared_ptr<const ElfSource>, TargetProcess&) override {}
};

void Print(const char* what, std::vector<Nanoseconds>& times) {
  std::ranges::sort(times);
  const auto at = [&](double share) {
    const auto index = static_cast<std::size_t>(share * static_cast<double>(times.size() - 1));
    return static_cast<double>(times[index].count()) / 1000;
  };
  fmt::print("{:<28} p10 {:7.2f}  p50 {:7.2f}  p90 {:7.2f}  p99 {:8.2f} us\n", what, at(0.1),
             at(0.5), at(0.9), at(0.99));
}

}  // namespace

int main(int argc, char** argv) {
  const int stops = argc > 1 ? std::atoi(argv[1]) : 5000;
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Recurse(30);
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  auto* page = new (::mmap(nullptr, sizeof(SharedPage), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0)) SharedPage();
  const SystemClock clock;
  LiveProcess process{Pid{child}};
  Tracer tracer(*page);
  Copier copier(process);
  Nobody nobody;
  unwind::CodeFiles files(nobody);
  unwind::Unwinder unwinder(process, files);
  std::vector<std::byte> copy(kCopy);
  std::vector<Nanoseconds> floor;
  std::vector<Nanoseconds> ours;
  std::vector<Nanoseconds> walks;
  Stack stack;
  // Long enough for the tables to be compiled.
  copier.snapshot = {};
  for (int i = 0; i < stops; ++i) {
    const timespec pause{0, 200'000};
    ::nanosleep(&pause, nullptr);
    // In turn, so that both see the same machine.
    floor.push_back(Floor(child, copy));
    ::nanosleep(&pause, nullptr);
    const MonotonicTime begin = clock.Now();
    if (!tracer.Interrupt(Pid{child}, Tid{child}, copier)) continue;
    tracer.AwaitStops(begin + std::chrono::milliseconds(100));
    ours.push_back(clock.Now() - begin);
    stack.clear();
    const MonotonicTime walk = clock.Now();
    const unwind::WalkResult result = unwinder.Walk(copier.snapshot, walk, stack);
    if (result.end == unwind::WalkEnd::kRoot) walks.push_back(clock.Now() - walk);
  }
  ::kill(child, SIGKILL);
  Print("stop, the bare system calls", floor);
  Print("stop, the agent's", ours);
  if (walks.empty()) return 1;
  std::ranges::sort(walks);
  const auto median = static_cast<double>(walks[walks.size() / 2].count());
  fmt::print("walk of {} frames: {:.2f} us, {:.0f} ns a frame\n", stack.size(), median / 1000,
             median / static_cast<double>(stack.size()));
}
