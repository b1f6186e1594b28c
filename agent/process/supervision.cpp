// SPDX-License-Identifier: Apache-2.0
#include "agent/process/supervision.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <new>
#include <utility>

#include "agent/base/log.h"
#include "agent/process/capabilities.h"
#include "agent/process/child_setup.h"
#include "agent/process/connect_keeper.h"
#include "agent/process/held_output.h"
#include "agent/process/keeper.h"
#include "agent/process/launcher.h"
#include "agent/process/own_fd.h"
#include "agent/process/seqpacket.h"
#include "agent/process/supervised_sampler.h"

namespace agent {
namespace {

constexpr int kCannotStart = 1;

Result<LaunchPage*> MapPage() {
  void* memory = ::mmap(nullptr, sizeof(LaunchPage), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return FailErrno("mmap");
  return new (memory) LaunchPage();  // lives as long as the process
}

// What makes a forked process the sampler: out of reach of the terminal, first to go when memory
// runs out, without anything that was the program's.
void EnterSampler(std::initializer_list<int> keep) {
  ::setsid();
  ::prctl(PR_SET_NAME, "agent-sampler");
  if (const UniqueFd oom(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)); oom.valid()) {
    [[maybe_unused]] const ssize_t written = ::write(oom.get(), "1000", 4);
  }
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);  // the one core file is the program's
  DropInheritedFds(keep, Stderr::kKeep);
}

void FollowProgram(const InheritedState& inherited) {
  if (!inherited.run_as || !FollowsProgram()) return;
  // A program that stays root keeps its capabilities: so must we.
  if (Become(*inherited.run_as) == 0 && ::geteuid() != 0) DropCapabilities();
}

// All that keeper, sampler and launcher use to find each other.
struct LaunchPipes {
  SocketPair link;  // first: keeper, second: launcher
  Pipe target_pid;  // launcher to sampler
  Pipe go;          // sampler to program

  static Result<LaunchPipes> Open() {
    AGENT_TRY(SocketPair link, OpenSocketPair());
    AGENT_TRY(Pipe target_pid, OpenPipe());
    AGENT_TRY(Pipe go, OpenPipe());
    return LaunchPipes{std::move(link), std::move(target_pid), std::move(go)};
  }
};

// The sampler process, forked by the keeper: first of all it forks the launcher.
int RunFirstSampler(const std::vector<std::string>& argv, const InheritedState& inherited,
                    LaunchPage* page, LaunchPipes& pipes, const UniqueFd& orders, int output,
                    const SamplerMain& sampler) {
  pipes.link.first.Reset();
  const pid_t launcher = ::fork();
  if (launcher < 0) return kCannotStart;
  if (launcher == 0) {
    pipes.go.write.Reset();
    RunLauncher({argv, inherited, page, std::move(pipes.link.second),
                 std::move(pipes.target_pid.write), std::move(pipes.go.read)});
  }
  pipes.link.second.Reset();
  pipes.target_pid.write.Reset();
  pipes.go.read.Reset();
  EnterSampler({orders.get(), output, pipes.target_pid.read.get(), pipes.go.write.get()});
  FollowProgram(inherited);
  pid_t target = 0;
  if (::read(pipes.target_pid.read.get(), &target, sizeof(target)) != sizeof(target)) {
    return kCannotStart;
  }
  pipes.target_pid.read.Reset();
  SamplerStart start;
  start.target = Pid{target};
  start.launcher = Pid{launcher};
  start.orders = orders.get();
  start.go = pipes.go.write.Release();
  start.output = output;
  start.page = &page->shared;
  return sampler(start);
}

// The keeper's first message from the launcher. nullopt when no program was started.
std::optional<LauncherReport> AwaitStart(const UniqueFd& link, const LaunchPage& page) {
  pollfd readable{link.get(), POLLIN, 0};
  ::poll(&readable, 1, -1);
  LauncherReport report;
  if (ReceiveMessage(link.get(), &report) == Received::kMessage) {
    if (report.kind == LauncherReport::Kind::kFailed) return std::nullopt;
    return report;
  }
  // The launcher died. If there is a program, it will fall to us.
  report.target = page.target.load(std::memory_order_relaxed);
  if (report.target == 0) return std::nullopt;
  return report;
}

[[noreturn]] void FailToStart(std::string_view reason) {
  LogError("cannot start: {}", reason);
  ::_exit(kCannotStart);
}

// Whatever happens to us, the program runs, unless it was to be looked at only.
[[noreturn]] void RunUnprofiled(const std::vector<std::string>& argv,
                                const InheritedState& inherited, std::string_view reason) {
  if (inherited.held_output >= 0) FailToStart(reason);
  LogWarn("the program runs without profiling: {}", reason);
  ::_exit(ReportExecFailure(argv, ExecAsInherited(argv, inherited)));
}

UniqueFd KeepStdout() {
  return UniqueFd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

}  // namespace

// Who may look into a process without CAP_SYS_PTRACE: one of the same ids that can do no more
// (ptrace(2), "access mode checking"). Not where the keeper could then not kill us any more.
bool FollowsProgram() { return !HasPtraceCapability() && HasCapability(CAP_KILL); }

void RunLaunched(const std::vector<std::string>& argv, const LaunchOptions& options,
                 const SamplerMain& sampler) {
  InheritedState inherited = TakeOver();
  inherited.run_as = options.run_as;
  UniqueFd output;
  std::optional<HeldOutput> held;
  if (options.taken_output) {
    output = KeepStdout();
    Result<HeldOutput> opened = HeldOutput::Open();
    if (!opened) FailToStart(opened.error().Message());
    held = *std::move(opened);
    inherited.held_output = held->write_end();
  }
  const Result<LaunchPage*> page = MapPage();
  if (!page) RunUnprofiled(argv, inherited, page.error().Message());
  Result<LaunchPipes> pipes = LaunchPipes::Open();
  if (!pipes) RunUnprofiled(argv, inherited, pipes.error().Message());

  LauncherReport started;
  SupervisedSampler supervised((*page)->shared, [&](const UniqueFd& orders, bool restarted) {
    if (!restarted) {
      return RunFirstSampler(argv, inherited, *page, *pipes, orders, output.get(), sampler);
    }
    EnterSampler({orders.get(), output.get()});
    FollowProgram(inherited);
    SamplerStart start;
    start.target = Pid{started.target};
    start.launcher = Pid{started.launcher};
    start.orders = orders.get();
    start.output = output.get();
    start.page = &(*page)->shared;
    start.restarted = true;
    return sampler(start);
  });
  if (const Result<void> forked = supervised.Start(); !forked) {
    RunUnprofiled(argv, inherited, forked.error().Message());
  }
  UniqueFd link = std::move(pipes->link.first);
  *pipes = LaunchPipes();
  if (const auto report = AwaitStart(link, **page)) {
    started = *report;
  } else {
    supervised.KillSilently();
    RunUnprofiled(argv, inherited, "no process could be started");
  }
  std::optional<Keeper::Display> display;
  if (held) {
    held->CloseWriteEnd();
    display = {.hooks = *options.taken_output, .output = output.get(), .held = &*held};
  }
  DropInheritedFds({link.get(), supervised.orders(), output.get(), held ? held->read_end() : -1},
                   Stderr::kKeep);
  Keeper({argv, Pid{started.target}, Pid{started.launcher}}, std::move(link), supervised,
         std::move(display))
      .Run();
}

void RunConnected(Pid pid, const std::optional<TakenOutput>& taken_output,
                  const SamplerMain& sampler) {
  static_cast<void>(TakeOver());
  UniqueFd output;
  if (taken_output) output = KeepStdout();
  const Result<LaunchPage*> page = MapPage();
  if (!page) FailToStart(page.error().Message());
  SupervisedSampler supervised((*page)->shared, [&](const UniqueFd& orders, bool restarted) {
    EnterSampler({orders.get(), output.get()});
    SamplerStart start;
    start.target = pid;
    start.orders = orders.get();
    start.output = output.get();
    start.page = &(*page)->shared;
    start.restarted = restarted;
    return sampler(start);
  });
  if (const Result<void> forked = supervised.Start(); !forked) {
    FailToStart(forked.error().Message());
  }
  DropInheritedFds({supervised.orders(), output.get()}, Stderr::kKeep);
  const auto tell = [&](const std::function<void(int)> TakenOutput::* what) {
    if (taken_output && (*taken_output).*what) ((*taken_output).*what)(output.get());
  };
  const int status = ConnectKeeper(
                         supervised, [&] { tell(&TakenOutput::before_stop); },
                         [&] { tell(&TakenOutput::after_stop); })
                         .Run();
  tell(&TakenOutput::at_end);
  ::_exit(status);
}

}  // namespace agent
