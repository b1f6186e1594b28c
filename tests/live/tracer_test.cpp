// SPDX-License-Identifier: Apache-2.0
// A thread that its process's exec kills while it stands still for us.
#include "agent/process/tracer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "agent/base/unique_fd.h"
#include "agent/process/signal_set.h"
#include "agent/process/task_stat.h"
#include "tests/support/catch.h"

namespace agent::live {
namespace {

constexpr std::chrono::seconds kDeadline{10};

// Two threads; the main one executes /bin/true when there is something to read. The other one gets
// no CPU while the tracer, on the same one, runs: killed, it does not end before the tracer waits.
[[noreturn]] void RunProgram(int from, const cpu_set_t& tracers) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::thread([&] {
    const sched_param none{};
    ::sched_setscheduler(0, SCHED_IDLE, &none);
    ::sched_setaffinity(0, sizeof(tracers), &tracers);
    volatile unsigned turns = 0;
    while (true) turns = turns + 1;
  }).detach();
  char byte = 0;
  if (::read(from, &byte, 1) == 1) ::execl("/bin/true", "true", nullptr);
  ::_exit(1);
}

// Waits for what happens within microseconds; false if it does not.
template <typename Condition>
bool Await(Condition condition) {
  const SystemClock clock;
  const MonotonicTime until = clock.Now() + kDeadline;
  while (!condition()) {
    if (clock.Now() > until) return false;
  }
  return true;
}

std::optional<Tid> SecondThread(pid_t pid) {
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    const pid_t tid = std::stoi(entry.path().filename());
    if (tid != pid) return Tid{tid};
  }
  return std::nullopt;
}

class ExecWhileStopped final : public StopClient {
 public:
  ExecWhileStopped(pid_t pid, int to) : pid_(pid), to_(to) {}

  void OnStopped(Tid tid, const Registers&) override {
    was_killed = ::write(to_, "x", 1) == 1 && Await([&] {
                   const auto stat =
                       ReadTaskStat(fmt::format("/proc/{}/task/{}", pid_, static_cast<pid_t>(tid)));
                   return !stat || stat->state != 't';
                 });
  }
  void OnReleased(Tid) override {}
  void OnGone(Tid) override {}

  bool was_killed = false;

 private:
  pid_t pid_;
  int to_;
};

}  // namespace

TEST_CASE("a thread that was killed while it stood still is waited for, and its process's exec") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const UniqueFd from(ends[0]);
  const UniqueFd to(ends[1]);
  cpu_set_t all;
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(::sched_getcpu(), &own);
  REQUIRE(::sched_getaffinity(0, sizeof(all), &all) == 0);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) RunProgram(from.get(), own);
  std::optional<Tid> tid;
  REQUIRE(Await([&] { return (tid = SecondThread(pid)).has_value(); }));

  REQUIRE(::sched_setaffinity(0, sizeof(own), &own) == 0);
  const SignalSet before = SetSignalMask(SignalSet::Of(SIGCHLD));
  SharedPage page;
  Tracer tracer(page);
  ExecWhileStopped client(pid, to.get());
  const Result<void> asked = tracer.Interrupt(Pid{pid}, *tid, client);
  if (!asked) {
    WARN("not tested: " << asked.error().Message());
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    SetSignalMask(before);
    ::sched_setaffinity(0, sizeof(all), &all);
    return;
  }
  tracer.AwaitStops(SystemClock().Now() + kDeadline);
  REQUIRE(client.was_killed);
  // PTRACE_SEIZE waits for the exec, and that for us to reap the thread.
  ::alarm(static_cast<unsigned>(kDeadline.count()));
  CHECK_FALSE(tracer.Interrupt(Pid{pid}, *tid, client));
  CHECK(Await([&] {
    tracer.Collect();
    return ::kill(pid, 0) != 0;
  }));
  ::alarm(0);
  CHECK_FALSE(tracer.HasPending());
  SetSignalMask(before);
  SetDisposition(SIGCHLD, SIG_DFL);
  ::sched_setaffinity(0, sizeof(all), &all);
}

}  // namespace agent::live
