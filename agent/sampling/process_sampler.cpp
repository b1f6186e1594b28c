// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/process_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace agent {
namespace {

// The process's clock is read so seldom that it takes a thousandth of the time at most.
constexpr Nanoseconds kShortestClockPause = std::chrono::milliseconds(2);
// How long the word of stat is good for a thread that has had its CPU since.
constexpr std::chrono::milliseconds kStatKept{4};
constexpr std::size_t kManyThreads = 64;
constexpr int kClockPause = 1000;
constexpr Nanoseconds kLongestClockPause = std::chrono::milliseconds(100);
constexpr int kMostTorn = 4;  // ticks of bursts

// The stack of samples that only take their share of the CPU time.
constexpr StackId kLeftOut{0xffffffff};

bool IsExact(StackOutcome outcome) {
  return outcome != StackOutcome::kTorn && outcome != StackOutcome::kUnreadable;
}

std::string TaskPath(Pid pid, Tid tid, std::string_view file) {
  return fmt::format("/proc/{}/task/{}/{}", static_cast<pid_t>(pid), static_cast<pid_t>(tid), file);
}

}  // namespace

ProcessSampler::Thread::Thread(Pid pid, Tid thread_id, InnerTid inner)
    : tid(thread_id),
      inner_tid(inner),
      stat(TaskPath(pid, thread_id, "stat")),
      schedstat(TaskPath(pid, thread_id, "schedstat")),
      syscall(TaskPath(pid, thread_id, "syscall")),
      status(TaskPath(pid, thread_id, "status")) {}

void ProcessSampler::Thread::CloseFiles() {
  stat.Close();
  schedstat.Close();
  syscall.Close();
  status.Close();
}

ProcessSampler::ProcessSampler(Pid pid, SamplingContext& context)
    : pid_(pid),
      context_(context),
      process_(std::make_unique<LiveProcess>(pid)),
      born_(SystemClock().Now()) {
  clockid_t clock = 0;
  if (::clock_getcpuclockid(static_cast<pid_t>(pid), &clock) == 0) clock_id_ = clock;
  if (ReadClock() && !context.count_from_birth) clock_base_ = clock_;
}

ProcessSampler::~ProcessSampler() {
  context_.tracer->Forget(*this);
  std::erase(context_.stopped, this);
  ForgetSnapshots();
}

bool ProcessSampler::ReadClock() {
  timespec time{};
  if (!clock_id_ || ::clock_gettime(*clock_id_, &time) != 0) return false;
  clock_ = std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
  return true;
}

void ProcessSampler::AddThread(Tid tid, InnerTid inner_tid) {
  const auto [place, is_new] = threads_.try_emplace(tid, pid_, tid, inner_tid);
  if (is_new) Heat(place->second);
}

void ProcessSampler::Heat(Thread& thread) {
  thread.hot = true;
  hot_threads_.push_back(&thread);
}

Nanoseconds ProcessSampler::HotTime() const {
  Nanoseconds sum{0};
  for (const Thread* thread : hot_threads_) sum += thread->last.run;
  return sum;
}

bool ProcessSampler::Tick(MonotonicTime now, WallTime wall) {
  EndBursts();
  const bool look_for_cold = now >= next_clock_;
  if (look_for_cold) {
    const bool is_dear = threads_.size() > kManyThreads;  // the kernel adds up all threads for it
    const Nanoseconds begin = is_dear ? OwnCpuTime() : Nanoseconds(0);
    // Read before the threads: what they use meanwhile must not look like time of cold ones.
    if (!ReadClock()) return false;
    next_clock_ = now + kShortestClockPause;
    if (is_dear) {
      next_clock_ = now + std::min((OwnCpuTime() - begin) * kClockPause, kLongestClockPause);
    }
  }
  LookAtHotThreads(now, wall);
  if (look_for_cold && clock_ - HotTime() > cold_seen_) LookAtColdThreads(now, wall);
  return !threads_.empty();
}

void ProcessSampler::LookAtHotThreads(MonotonicTime now, WallTime wall) {
  std::erase_if(hot_threads_, [&](Thread* thread) {
    const Look look = LookAt(*thread, now, wall);
    if (look == Look::kGone) {
      Claim(*thread, Nanoseconds(0), /*at_once=*/true);
      AddWallTime(*thread, now);
      threads_.erase(Tid{thread->tid});
      return true;
    }
    if (look == Look::kActive) thread->last_active = now;
    if (now - thread->last_active <= kCoolDown) return false;
    thread->hot = false;
    thread->CloseFiles();
    return true;
  });
}

void ProcessSampler::LookAtColdThreads(MonotonicTime now, WallTime wall) {
  for (auto place = threads_.begin(); place != threads_.end();) {
    Thread& thread = place->second;
    if (thread.hot) {
      ++place;
      continue;
    }
    const Look look = LookAt(thread, now, wall);
    if (look == Look::kGone) {
      Claim(thread, Nanoseconds(0), /*at_once=*/true);
      AddWallTime(thread, now);
      place = threads_.erase(place);
      continue;
    }
    if (look == Look::kActive) {
      thread.last_active = now;
      Heat(thread);
    } else {
      thread.CloseFiles();
    }
    ++place;
  }
  cold_seen_ = clock_ - HotTime();
}

Result<SchedStat> ProcessSampler::SchedStatOf(Thread& thread) {
  std::array<char, 256> buffer;  // NOLINT: Read fills it
  AGENT_TRY(const std::string_view text, thread.schedstat.Read(buffer));
  return ParseSchedStat(text);
}

ProcessSampler::Look ProcessSampler::LookAt(Thread& thread, MonotonicTime now, WallTime wall) {
  const Result<SchedStat> sched = SchedStatOf(thread);
  if (!sched) return Look::kGone;
  const bool first = !thread.looked_at;
  thread.stands_since.reset();
  // A thread that was off its CPU and whose figures have not moved has not run: its stack is the
  // old one.
  if (!first && !thread.was_running && *sched == thread.last) {
    thread.sampled = now;
    return Look::kIdle;
  }
  // One that ran, and whose figures have not moved, has had its CPU all the while.
  const bool runs_on = !first && *sched == thread.last && spy_ && !is_fallback_ &&
                       now - thread.stat_read < kStatKept;
  bool has_burst_run = runs_on;
  if (!runs_on) {
    std::array<char, 1024> buffer;  // NOLINT: Read fills it
    const Result<std::string_view> stat_text = thread.stat.Read(buffer);
    if (!stat_text) return Look::kGone;
    const Result<TaskStat> stat = ParseTaskStat(*stat_text);
    if (!stat || stat->HasEnded()) return Look::kGone;
    // It may have waited for a CPU, but not slept.
    has_burst_run = stat->state == 'R' && !thread.burst.empty() && !HasSlept(thread);
    TakeStat(thread, *stat, now);
  }
  Nanoseconds growth = sched->run - thread.last.run;
  if (first && !context_.count_from_birth && now - born_ < kCoolDown) growth = Nanoseconds(0);
  const Nanoseconds waited = sched->wait - thread.last.wait;
  thread.last = *sched;
  thread.looked_at = true;
  SettleBurst(thread, has_burst_run, now, wall);
  if (context_.bursts) thread.weights.Waited(waited);
  // Before this sample is taken: what was used before it belongs to those that were taken before.
  if (thread.unfinished > 0) {
    thread.unclaimed += growth;  // the samples under way have a share in it
  } else {
    // In a burst a sample knows its own time, and growth is given to those that it is of.
    Claim(thread, growth, /*at_once=*/context_.bursts);
  }
  if (thread.was_running) {
    TakeSample(thread, now, wall);
  } else if (context_.wall) {
    TakeSleeper(thread, now, wall);
  }
  return thread.was_running || growth > Nanoseconds(0) ? Look::kActive : Look::kIdle;
}

void ProcessSampler::TakeStat(Thread& thread, const TaskStat& stat, MonotonicTime now) {
  thread.stat_read = now;
  thread.was_running = stat.state == 'R';
  // Where it does not take turns nobody else would get one.
  thread.cpu = stat.real_time_priority == 0 ? stat.cpu : -1;
  const bool is_beside = stat.cpu == context_.seat.cpu() && stat.cpu >= 0;
  if (thread.was_running && is_beside) thread.stands_since = now;
  thread.flags = stat.flags;
  if (stat.comm != thread.comm) {
    thread.comm = stat.comm;
    thread.name.AskSoon();
    thread.index_of = nullptr;
    if (static_cast<pid_t>(thread.tid) == static_cast<pid_t>(pid_)) comm_ = stat.comm;
  }
  FollowImage(stat, now);
}

void ProcessSampler::Claim(Thread& thread, Nanoseconds growth, bool at_once) {
  thread.weights.Grow(growth, at_once, [&](const CpuWeights::Sample& sample, Nanoseconds share) {
    if (sample.stack != kLeftOut) {
      context_.window->Add(sample.stack, IndexOf(thread), SampleKind::kCpu, sample.at,
                           {.count = 0, .cpu_ns = share.count()});
    }
    claimed_ += share;
  });
}

void ProcessSampler::FollowName(Thread& thread, MonotonicTime now) {
  if (spy_ && thread.name.Follow(*spy_, thread.inner_tid, now)) thread.index_of = nullptr;
}

ThreadIndex ProcessSampler::InternThread(Tid tid, const std::string& name) {
  if (context_.labels_of && labels_ == nullptr) labels_ = context_.labels_of(pid_);
  return context_.window->InternThread(
      {.pid = pid_, .tid = tid, .process_name = comm_, .thread_name = name, .labels = labels_});
}

ThreadIndex ProcessSampler::IndexOf(Thread& thread) {
  if (thread.index_of != context_.window.get()) {
    thread.index = InternThread(thread.tid, thread.name.Or(thread.comm));
    thread.index_of = context_.window.get();
  }
  return thread.index;
}

void ProcessSampler::TakeSample(Thread& thread, MonotonicTime now, WallTime wall) {
  if (!spy_ || is_fallback_) TryAttach(now);
  if (thread.is_asked) return;  // waits for a CPU: its stack is that of the sample under way
  stack_.clear();
  if (!spy_) {
    AddSample(thread, now, wall);
    return;
  }
  if (spy_->NeedsStop() && !spy_->PrepareStop(thread.inner_tid)) {
    const StackOutcome outcome = spy_->ReadStack(thread.inner_tid, ReadMode::kRunningOnce);
    if (Count(outcome)) AddSample(thread, now, wall);
    return;
  }
  const bool may_stop = MayStop(thread, now);
  const bool has_to_stand = HasToStandStill(thread);
  const bool stands_unstopped = has_to_stand && !spy_->WantsSnapshots() && !context_.always_stop;
  const bool is_beside = thread.stands_since.has_value();
  if (stands_unstopped) context_.seat.Want(thread.cpu);
  if (has_to_stand && !is_beside && context_.paces) {
    thread.stands_since = context_.pacers.Hold(thread.cpu);
  }
  if (stands_unstopped && thread.stands_since) {
    const StackOutcome outcome = is_beside ? ReadBeside(thread) : ReadHeld(thread);
    if (IsExact(outcome)) {
      thread.stillness.SeeStanding();
      if (Count(outcome)) AddSample(thread, now, wall);
      return;
    }
  }
  if (ReadsRunning() && !((has_to_stand || context_.always_stop) && may_stop)) {
    StackOutcome outcome = NameAfter(ReadRunning(thread));
    if (outcome == StackOutcome::kUnreadable) {
      // New code: a stop tells whether the frames were of it. The next reading knows it.
      thread.stillness.See(/*refused=*/true);
      if (!may_stop) outcome = NameAfter(spy_->ReadStack(thread.inner_tid, ReadMode::kRunning));
    }
    // At such a rate the next look comes at once, and will do; a thread that waits for a CPU in the
    // middle of a call is no use to stop.
    if (outcome == StackOutcome::kTorn && context_.bursts && ++thread.torn_looks < kMostTorn) {
      thread.sampled -= thread.sample_time;
      return;
    }
    // Where that did not help, the next one will hardly do better.
    thread.torn_looks = outcome == StackOutcome::kTorn ? kMostTorn - 1 : 0;
    if (IsExact(outcome) || (!may_stop && now >= stops_refused_until_)) {
      if (Count(outcome)) AddSample(thread, now, wall);
      if (context_.bursts && outcome == StackOutcome::kStack) BeginBurst(thread, now);
      return;
    }
  }
  if (may_stop) {
    AskForStop(thread, wall);
  } else {
    stack_.push_back({.function = context_.not_read});
    AddSample(thread, now, wall);
  }
}

// Of a spy that can read running threads.
StackOutcome ProcessSampler::ReadRunning(Thread& thread) {
  const StackOutcome outcome = spy_->ReadStack(thread.inner_tid, ReadMode::kRunningOnce);
  if (!thread.stands_since) thread.stillness.See(outcome == StackOutcome::kTorn);
  if (outcome != StackOutcome::kTorn) return outcome;
  return spy_->ReadStack(thread.inner_tid, ReadMode::kRunning);
}

// While it waits for the CPU that we are on. kTorn: another one has taken it.
StackOutcome ProcessSampler::ReadBeside(Thread& thread) {
  const StackOutcome outcome = spy_->ReadStack(thread.inner_tid, ReadMode::kStill);
  return HasRun(thread) ? StackOutcome::kTorn : NameAfter(outcome);
}

// While a pacer keeps its CPU: it may have been moved to another one, and nothing would tell.
StackOutcome ProcessSampler::ReadHeld(Thread& thread) {
  if (!ReadsRunning()) return StackOutcome::kTorn;
  const StackOutcome outcome = spy_->ReadStack(thread.inner_tid, ReadMode::kRunningOnce);
  if (IsExact(outcome)) context_.pacers.Release(thread.cpu);  // else it is to be stopped
  return NameAfter(outcome);
}

void ProcessSampler::AddSample(Thread& thread, MonotonicTime since, WallTime wall) {
  if (stack_.empty()) {
    const bool looked = spy_ && !spy_->WantsSnapshots();
    stack_.push_back({.function = looked ? context_.no_frames : context_.not_read});
  }
  if (stack_.front().function == context_.without_gil) {
    // Its share of the CPU time is left out as well.
    thread.weights.AddSample({.stack = kLeftOut, .at = wall, .time = thread.sample_time});
    LeaveOutWallTime(thread, since);
    return;
  }
  FollowName(thread, since);
  const StackId stack = context_.window->InternStack(stack_);
  context_.window->Add(stack, IndexOf(thread), SampleKind::kCpu, wall, {.count = 1, .cpu_ns = 0});
  thread.weights.AddSample({.stack = stack, .at = wall, .time = thread.sample_time});
  if (context_.wall) {
    SetWallStack(thread, stack, since);
    thread.blip = false;  // what it slept in is not its wall stack any more
  }
  context_.page->samples_taken.fetch_add(1, std::memory_order_relaxed);
}

// Into stack_, which may be that of another thread: it is empty where there is none.
StackOutcome ProcessSampler::NameAfter(StackOutcome read) {
  stack_.clear();
  if (read != StackOutcome::kStack && read != StackOutcome::kTruncated) return read;
  const StackOutcome named = spy_->NameFrames(stack_);
  return named == StackOutcome::kStack ? read : named;
}

// True when there is a sample to keep.
bool ProcessSampler::Count(StackOutcome outcome) {
  LossCounters& losses = context_.window->losses();
  switch (outcome) {
    case StackOutcome::kStack:
    case StackOutcome::kNoFrames:
      return true;
    case StackOutcome::kWithoutGil:
      stack_ = {{.function = context_.without_gil}};
      return true;
    case StackOutcome::kTruncated:
      ++losses.truncated;
      return true;
    case StackOutcome::kIncomplete:
      ++losses.incomplete;
      return true;
    case StackOutcome::kTorn:
      ++losses.torn;
      return false;
    case StackOutcome::kNotReady:
    case StackOutcome::kUnreadable:
      ++losses.unreadable;
      return false;
    case StackOutcome::kGone:
      DropSpy();    // the process ended, or runs another program now
      return true;  // its last CPU time, without an address space, is its own all the same
  }
  return false;
}

void ProcessSampler::FollowWindow(const Profile& old) {
  for (auto& [tid, thread] : threads_) {
    thread.burst.ForgetIds();
    for (CpuWeights::Sample& sample : thread.weights.waiting()) {
      if (sample.stack == kLeftOut) continue;
      sample.stack = context_.window->InternStack(old.StackFrames(sample.stack));
    }
    if (thread.wall_stack) {
      thread.wall_stack = context_.window->InternStack(old.StackFrames(*thread.wall_stack));
    }
    thread.index_of = nullptr;
  }
}

Nanoseconds ProcessSampler::End(WallTime wall) {
  SayNotPermitted();
  // What is still under way must not be claimed after the rest has been given out.
  ForgetSnapshots();
  static_cast<void>(ReadClock());  // still there when nobody has reaped it yet
  Nanoseconds gathered{0};
  for (auto& [tid, thread] : threads_) {
    thread.unfinished = 0;
    Claim(thread, std::exchange(thread.unclaimed, Nanoseconds(0)), /*at_once=*/false);
    gathered += thread.weights.unclaimed();
  }
  Nanoseconds rest = clock_ - clock_base_ - claimed_ - gathered;
  // Of it the samples that still wait carry what they stand for.
  for (auto& [tid, thread] : threads_) {
    const auto waiting = static_cast<std::int64_t>(thread.weights.waiting().size());
    const Nanoseconds most =
        std::max(context_.window->period() * waiting - thread.weights.unclaimed(), Nanoseconds(0));
    const Nanoseconds share = std::clamp(rest, Nanoseconds(0), most);
    Claim(thread, share, /*at_once=*/true);
    rest -= share;
  }
  if (rest > Nanoseconds(0)) {
    const Frame frame{.function = context_.not_sampled, .line = 0};
    const ThreadIndex index = InternThread(Tid{static_cast<pid_t>(pid_)}, comm_);
    context_.window->Add(context_.window->InternStack({&frame, 1}), index, SampleKind::kCpu, wall,
                         {.count = 0, .cpu_ns = rest.count()});
    claimed_ += rest;
  }
  return claimed_;
}

}  // namespace agent
