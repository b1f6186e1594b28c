// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/sampler.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/scheduling.h"
#include "agent/process/capabilities.h"
#include "agent/process/proc_file.h"
#include "agent/process/rights.h"
#include "agent/process/task_stat.h"

namespace agent {
namespace {

constexpr Nanoseconds kSliceLength = std::chrono::milliseconds(100);
// For the names of a window that grows; a copy of it is made on the sampling thread.
constexpr Nanoseconds kFirstNameAhead = std::chrono::milliseconds(500);
constexpr std::size_t kMaxNameAheadBytes = 2u << 20;
// A thread that is about to stop is freed by SIGCHLD; the watchdog wants a sign of life more often
// than once a second.
constexpr Nanoseconds kLongestAwait = std::chrono::milliseconds(1);
// A tick takes 10 to 20 us: with a shorter period samples come by bursts of quick looks in between.
constexpr Nanoseconds kShortestTickPeriod = std::chrono::microseconds(50);
// How long these may keep the loop from anything else.
constexpr Nanoseconds kLongestBursts = std::chrono::milliseconds(1);
constexpr Nanoseconds kLongestSleepWithPending = std::chrono::milliseconds(100);

void PrepareThread(SharedPage& page) {
  ::prctl(PR_SET_NAME, "agent-sampling");
  page.sampling_thread.store(::gettid(), std::memory_order_relaxed);
  // Half a period late would be 50 us late: the default slack.
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
  RunInShortTurns();
  // Refused without rights; then we take our turn as everybody does.
  ::setpriority(PRIO_PROCESS, 0, -10);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

// For --kernel: what cannot be had is said, once.
std::optional<KernelStacks> OpenKernelStacks(bool wall) {
  if (!wall) {
    LogWarn(
        "--kernel has no effect: the kernel shows its frames of threads that sleep; add --wall");
    return std::nullopt;
  }
  Result<KernelStacks> stacks = KernelStacks::Open();
  if (stacks) return *std::move(stacks);
  LogWarn("--kernel has no effect: {}",
          stacks.error().code == Errc::kNotPermitted
              ? "the kernel does not show us its frames; run the agent as root, in a container add "
                "the capability SYS_ADMIN (not in a user namespace)"
              : "this kernel has no /proc/PID/stack (CONFIG_STACKTRACE)");
  return std::nullopt;
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options, const SamplerStart& start,
                 std::vector<SpyFactory*> factories, FunctionTable& functions, WindowWriter& writer)
    : options_(options),
      start_(start),
      writer_(writer),
      tracer_(*start.page),
      tree_(start.target, start.launcher, options.follow_children, options.choice),
      ticks_(clock_.Now(), options.period, std::random_device()()) {
  context_.factories = std::move(factories);
  context_.tracer = &tracer_;
  context_.page = start.page;
  context_.labels_of = options.labels_of;
  context_.always_stop = options.always_stop;
  context_.wall = options.wall;
  context_.bursts = options.period < kShortestTickPeriod && !options.always_stop;
  context_.paces = !context_.bursts && options.period >= Pacers::kShortestPeriod;
  if (options.kernel) context_.kernel_stacks = OpenKernelStacks(options.wall);
  context_.functions = &functions;
  context_.has_ptrace_capability = HasPtraceCapability();
  context_.count_from_birth = start.launcher != Pid{} && !start.restarted;
  context_.no_frames = functions.Marker("[no Python frames]");
  context_.without_gil = functions.Marker("[without the GIL]");
  context_.not_read = functions.Marker("[not read]");
  context_.not_sampled = functions.Marker("[not sampled]");
  other_stacks_ = functions.Marker("[other stacks]");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  child_signal_.Reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  NewWindow(clock_.WallNow());
}

void Sampler::NewWindow(WallTime start) {
  context_.window = std::make_unique<Profile>(start, kSliceLength);
  context_.window->set_period(options_.period);
}

Result<void> Sampler::AttachFirst() {
  if (options_.choice != nullptr) {
    const auto wants = [&](pid_t id) { return options_.choice->Wants(Pid{id}); };
    if (options_.choice->IsAll() || std::ranges::any_of(NumbersIn("/proc"), wants)) return {};
    return Fail(Errc::kGone, "no such process runs", options_.choice->Shown());
  }
  if (!IsAlive(start_.target)) {
    return Fail(Errc::kGone, "there is no such process",
                fmt::format("{}", static_cast<pid_t>(start_.target)));
  }
  ProcessSampler first(start_.target, context_);
  const auto attached = first.AttachNow();
  context_.runtimes.clear();  // this was a try: Run counts it
  if (attached) return {};
  const Refusal& refusal = attached.error();
  switch (refusal.kind) {
    case Refusal::Kind::kNotPermitted:
      return Fail(Errc::kNotPermitted, "the kernel does not let us look into it",
                  WhyNotPermitted(start_.target));
    case Refusal::Kind::kGone:
      return Fail(Errc::kGone, "the process has ended");
    case Refusal::Kind::kNotMine:
    case Refusal::Kind::kNotYet:
    case Refusal::Kind::kUnsupported:
      break;
  }
  return {};  // it may execute Python later, or its children may be Python
}

SamplerReport Sampler::Run() {
  PrepareThread(*start_.page);
  const MonotonicTime begin = clock_.Now();
  ticks_ = TickSchedule(begin, options_.period, std::random_device()());
  // Windows of different processes end at different times: a random part of the first one is left
  // out.
  std::uniform_real_distribution<double> part(0.5, 1.0);
  std::minstd_rand random(std::random_device{}());
  window_end_ = begin + Nanoseconds(static_cast<std::int64_t>(
                            static_cast<double>(options_.upload_interval.count()) * part(random)));
  name_ahead_at_ = begin + kFirstNameAhead;
  run_end_ = options_.duration ? begin + *options_.duration : MonotonicTime::max();
  AddNewTasks(begin);
  if (start_.go >= 0) ::close(start_.go);  // the program may start
  while (WaitForTick() == Wake::kTick) {
    Tick();
    ++done_ticks_;
    if (!first_sample_ && start_.page->samples_taken.load(std::memory_order_relaxed) > 0) {
      first_sample_ = clock_.Now();
    }
    const std::uint64_t left_out = ticks_.Advance(clock_.Now());
    if (!std::exchange(has_rested_, false)) context_.window->losses().late_ticks += left_out;
    if (options_.period < kShortestTickPeriod) LookQuickly();
    BoundWindow();
    if (clock_.Now() >= window_end_ || options_.cut_window->exchange(false)) CutWindow(false);
    if (clock_.Now() >= name_ahead_at_) {
      name_ahead_at_ += name_ahead_at_ - begin;
      NameAhead();
    }
    if (processes_.empty() && !WaitsForMore()) break;
  }
  SamplerReport report;
  report.finish_ordered = clock_.Now();
  AwaitPending(report.finish_ordered + kLongestSleepWithPending);
  Finish();
  tracer_.LetGo();
  report.pauses = tracer_.pauses();
  if (first_sample_) report.first_sample = *first_sample_ - begin;
  const std::chrono::duration<double> run = report.finish_ordered - begin;
  if (run.count() > 0) report.achieved_rate = static_cast<double>(done_ticks_) / run.count();
  report.kernel_cpu =
      std::max(Nanoseconds(start_.restarted ? -1 : tree_cpu_ns_), ended_cpu_) + live_cpu_;
  report.runtimes = std::move(context_.runtimes);
  return report;
}

bool Sampler::WaitsForMore() const {
  return start_.launcher != Pid{} || (options_.choice != nullptr && options_.choice->IsAll());
}

Sampler::Wake Sampler::WaitForTick() {
  while (!finishing_) {
    const MonotonicTime now = clock_.Now();
    if (now >= run_end_) break;
    const MonotonicTime tick = std::max(ticks_.next() - context_.pacers.lead(), rest_until_);
    MonotonicTime until = std::min(tick, run_end_);
    if (tracer_.HasPending()) until = std::min(until, now + kLongestSleepWithPending);
    const Nanoseconds left = std::max(until - now, Nanoseconds(0));
    std::array<pollfd, 2> fds{pollfd{start_.orders, POLLIN, 0},
                              pollfd{child_signal_.get(), POLLIN, 0}};
    const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    const int ready = ::ppoll(fds.data(), fds.size(), &timeout, nullptr);
    const bool has_signal = ready > 0 && fds[1].revents != 0;
    if (has_signal) {
      signalfd_siginfo info;
      while (::read(child_signal_.get(), &info, sizeof(info)) > 0) {
      }
    }
    if (ready > 0 && fds[0].revents != 0 && !TakeOrder()) break;
    // Else there is nobody who could have stopped, or have ended attached.
    if (has_signal || tracer_.HasPending()) tracer_.Collect();
    TakeStopped();
    if (clock_.Now() >= tick) return Wake::kTick;
  }
  return Wake::kFinish;
}

// Who stops after the last Collect stands still until this process has ended.
void Sampler::AwaitPending(MonotonicTime deadline) {
  while (tracer_.HasPending() && clock_.Now() < deadline) {
    tracer_.AwaitStops(deadline);
    if (tracer_.HasPending()) ::poll(nullptr, 0, 1);
  }
  while (!context_.stopped.empty() && clock_.Now() < deadline) {
    TakeStopped();  // tables may still be in the making
    if (!context_.stopped.empty()) ::poll(nullptr, 0, 1);
  }
}

// False when the run is over.
bool Sampler::TakeOrder() {
  KeeperOrder order;
  const ssize_t got = ::recv(start_.orders, &order, sizeof(order), MSG_DONTWAIT);
  if (got < 0) return true;
  if (got == sizeof(order) && order.kind == KeeperOrder::Kind::kFlush) {
    CutWindow(false);
    return true;
  }
  if (got == sizeof(order)) tree_cpu_ns_ = order.tree_cpu_ns;
  finishing_ = true;
  return false;
}

void Sampler::AddNewTasks(MonotonicTime now) {
  for (const ProcessTree::Task& task : tree_.Update(now)) {
    auto& process = processes_[task.process];
    if (!process) process = std::make_unique<ProcessSampler>(task.process, context_);
    process->AddThread(task.tid, task.inner_tid);
  }
}

// False when none of the process's threads is alive.
bool Sampler::FindThreads(ProcessSampler& process) {
  const auto pid = static_cast<pid_t>(process.pid());
  bool found = false;
  for (const ProcessTree::Task& task : ProcessTree::Threads(process.pid())) {
    const auto tid = static_cast<pid_t>(task.tid);
    const Result<TaskStat> stat = ReadTaskStat(fmt::format("/proc/{}/task/{}", pid, tid));
    if (!stat || stat->HasEnded()) continue;
    process.AddThread(task.tid, task.inner_tid);
    found = true;
  }
  return found;
}

void Sampler::Tick() {
  const MonotonicTime now = clock_.Now();
  const WallTime wall = clock_.WallNow();
  context_.pacers.BeginTick(ticks_.next(), ticks_.following(), now);
  AddNewTasks(now);
  for (auto place = processes_.begin(); place != processes_.end();) {
    ProcessSampler& process = *place->second;
    if (process.Tick(now, wall)) {
      ++place;
      continue;
    }
    // An exec by another than the first thread ends all that we know of; and the first thread may
    // end before the others, when these have only just been born.
    if (FindThreads(process)) {
      ++place;
      continue;
    }
    End(process);
    place = processes_.erase(place);
  }
  context_.pacers.EndTick();
  // The threads that run stop within microseconds; those that wait for a CPU are dealt with when
  // they stop (WaitForTick).
  tracer_.AwaitStops(std::min(clock_.Now() + kLongestAwait, ticks_.next() + options_.period));
  TakeStopped();
  if (!context_.bursts) context_.seat.Settle(now);  // bursts keep our CPU busy
}

// Until a thread asks for a tick, or it is time for one. Waits by spinning: at these rates a sleep
// is longer than a period.
void Sampler::LookQuickly() {
  const MonotonicTime begin = clock_.Now();
  const auto any = [&](bool (ProcessSampler::*has)() const) {
    return std::ranges::any_of(processes_,
                               [&](const auto& entry) { return (entry.second.get()->*has)(); });
  };
  if (!any(&ProcessSampler::HasBursts)) {
    // Where nothing runs either, no sooner than this.
    has_rested_ = !any(&ProcessSampler::HasRunning);
    if (has_rested_) rest_until_ = begin + kShortestTickPeriod;
    return;
  }
  const MonotonicTime end = std::min(begin + kLongestBursts, run_end_);
  while (true) {
    const MonotonicTime now = clock_.Now();
    if (now >= end) return;
    // Threads beside them that are read while they stand still.
    if (tracer_.HasPending()) {
      tracer_.Collect();
      TakeStopped();
    }
    if (now < ticks_.next()) continue;
    bool all = true;
    for (auto& [pid, process] : processes_) {
      if (process->HasBursts()) all &= process->LookQuickly(now);
    }
    if (!all) return;
    ++done_ticks_;
    context_.window->losses().late_ticks += ticks_.Advance(now);
  }
}

void Sampler::TakeStopped() {
  if (context_.stopped.empty()) return;
  const MonotonicTime now = clock_.Now();
  for (ProcessSampler* process : context_.stopped) process->TakeStopped(now);
  std::erase_if(context_.stopped, [](ProcessSampler* process) { return !process->HasStopped(); });
}

void Sampler::End(ProcessSampler& process) {
  process.AddWallTimes(clock_.Now());
  ended_cpu_ += process.End(clock_.WallNow());
  tree_.Forget(process.pid());
}

void Sampler::CutWindow(bool last) {
  window_end_ = clock_.Now() + options_.upload_interval;
  if (!last && !writer_.HasRoom()) return;  // it goes on growing
  const WallTime wall = clock_.WallNow();
  for (auto& [pid, process] : processes_) process->AddWallTimes(clock_.Now());
  std::unique_ptr<Profile> window = std::move(context_.window);
  window->set_duration(wall - window->start());
  NewWindow(wall);
  for (auto& [pid, process] : processes_) process->FollowWindow(*window);
  window->Shrink(options_.window_bytes, other_stacks_);
  writer_.Hand(std::move(window));
}

void Sampler::NameAhead() {
  if (context_.window->ApproximateBytes() > kMaxNameAheadBytes) return;
  writer_.NameAhead(std::make_unique<const Profile>(*context_.window));
}

// A window that is full before its end.
void Sampler::BoundWindow() {
  if (context_.window->ApproximateBytes() <= options_.window_bytes) return;
  if (writer_.HasRoom()) {
    CutWindow(false);
    return;
  }
  const Profile before = *context_.window;
  context_.window->Shrink(options_.window_bytes, other_stacks_);
  for (auto& [pid, process] : processes_) process->FollowWindow(before);
}

void Sampler::Finish() {
  const WallTime wall = clock_.WallNow();
  for (auto& [pid, process] : processes_) process->AddWallTimes(clock_.Now());
  for (auto& [pid, process] : processes_) {
    if (IsAlive(pid)) {
      live_cpu_ += process->End(wall);
    } else {
      ended_cpu_ += process->End(wall);
    }
  }
  // What the kernel charged to processes that lived too briefly to be seen, or between the last
  // look and their end.
  const Nanoseconds rest = Nanoseconds(tree_cpu_ns_) - ended_cpu_;
  if (tree_cpu_ns_ >= 0 && !start_.restarted && rest > Nanoseconds(0)) {
    const Frame frame{.function = context_.not_sampled, .line = 0};
    const ThreadIndex index =
        context_.window->InternThread({.pid = start_.target,
                                       .tid = Tid{static_cast<pid_t>(start_.target)},
                                       .process_name = {},
                                       .thread_name = {}});
    context_.window->Add(context_.window->InternStack({&frame, 1}), index, SampleKind::kCpu, wall,
                         {.count = 0, .cpu_ns = rest.count()});
  }
  processes_.clear();
  CutWindow(true);
}

}  // namespace agent
