// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/process_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/base/log.h"
#include "agent/process/blocked_call.h"
#include "agent/process/rights.h"

namespace agent {
namespace {

// A thread that did nothing for this long is read only when the process's own clock tells that some
// such thread ran.
constexpr std::chrono::seconds kCoolDown{1};
// The process's clock is read so seldom that it takes a half percent of the time at most.
constexpr Nanoseconds kShortestClockPause = std::chrono::milliseconds(2);
// How long the word of stat is good for a thread that has had its CPU since.
constexpr std::chrono::milliseconds kStatKept{4};
constexpr std::size_t kManyThreads = 64;
constexpr int kClockPause = 200;
constexpr Nanoseconds kLongestClockPause = std::chrono::milliseconds(100);
constexpr std::chrono::seconds kForkToExec{1};
constexpr int kMostLooks = 3;
constexpr int kMostTorn = 4;  // ticks of bursts
constexpr int kMostMisses = 20;
constexpr std::size_t kEntryFrames = 2;  // do_syscall_64, entry_SYSCALL_64_after_hwframe
// An interpreter needs some 10 ms from exec to its first frame.
constexpr std::chrono::milliseconds kFirstAttachPause{4};
constexpr std::chrono::milliseconds kStartUp{300};
constexpr std::chrono::milliseconds kLongestAttachPause{500};
// A table of a large library takes a tenth of a second to compile.
constexpr std::chrono::seconds kLongestWaitForTables{2};
constexpr std::size_t kMaxWaitingBytes = 32u << 20;

// The stack of samples that only take their share of the CPU time.
constexpr StackId kLeftOut{0xffffffff};

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
  if (::clock_getcpuclockid(static_cast<pid_t>(pid), &clock_id_) == 0 && ReadClock() &&
      !context.count_from_birth) {
    clock_base_ = clock_;
  }
}

ProcessSampler::~ProcessSampler() {
  context_.tracer->Forget(*this);
  std::erase(context_.stopped, this);
  ForgetSnapshots();
}

bool ProcessSampler::ReadClock() {
  timespec time{};
  if (::clock_gettime(clock_id_, &time) != 0) return false;
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
    // Read before the threads: what they use meanwhile must not look like time of cold ones.
    if (!ReadClock()) return false;
    next_clock_ = now + kShortestClockPause;
    // The kernel adds up all threads for it.
    if (threads_.size() > kManyThreads) {
      next_clock_ = now + std::min((SystemClock().Now() - now) * kClockPause, kLongestClockPause);
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
      Claim(*thread, Nanoseconds(0));
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
      Claim(thread, Nanoseconds(0));
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

ProcessSampler::Look ProcessSampler::LookAt(Thread& thread, MonotonicTime now, WallTime wall) {
  std::array<char, 1024> buffer;  // NOLINT: Read fills it
  const Result<std::string_view> text = thread.schedstat.Read(buffer);
  if (!text) return Look::kGone;
  const Result<SchedStat> sched = ParseSchedStat(*text);
  if (!sched) return Look::kGone;
  const bool first = !thread.looked_at;
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
    const Result<std::string_view> stat_text = thread.stat.Read(buffer);
    if (!stat_text) return Look::kGone;
    const Result<TaskStat> stat = ParseTaskStat(*stat_text);
    if (!stat || stat->HasEnded()) return Look::kGone;
    // It may have waited for a CPU, but not slept.
    has_burst_run = stat->state == 'R' && !thread.burst.empty() &&
                    (sched->slices == thread.last.slices || !HasSlept(thread));
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
    Claim(thread, growth);
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
  thread.flags = stat.flags;
  if (stat.comm != thread.comm) {
    thread.comm = stat.comm;
    thread.name.AskSoon();
    thread.index_of = nullptr;
    if (static_cast<pid_t>(thread.tid) == static_cast<pid_t>(pid_)) comm_ = stat.comm;
  }
  FollowImage(stat, now);
}

void ProcessSampler::Claim(Thread& thread, Nanoseconds growth) {
  thread.weights.Grow(growth, [&](const CpuWeights::Sample& sample, Nanoseconds share) {
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
  const bool may_stop = MayStop(thread, now);
  if (spy_->NeedsStop()) {
    if (!spy_->PrepareStop(thread.inner_tid)) {
      if (Count(spy_->ReadStack(thread.inner_tid))) AddSample(thread, now, wall);
      return;
    }
  } else if (!spy_->WantsSnapshots() && !(context_.always_stop && may_stop)) {
    const StackOutcome outcome = NameAfter(spy_->ReadStack(thread.inner_tid));
    // Losing torn stacks would favour code that seldom calls: stop the thread for an exact one.
    // Where a code object was freed before it was named, name it while the thread stands still.
    thread.name_stopped = outcome == StackOutcome::kUnreadable;
    // At such a rate the next look comes at once, and will do; a thread that waits for a CPU in the
    // middle of a call is no use to stop.
    if (outcome == StackOutcome::kTorn && context_.bursts && ++thread.torn_looks < kMostTorn) {
      thread.sampled -= thread.sample_time;
      return;
    }
    thread.torn_looks = 0;
    const bool is_exact = outcome != StackOutcome::kTorn && outcome != StackOutcome::kUnreadable;
    if (is_exact || !may_stop) {
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

// A thread that has run since the last look, and sleeps now. It is read without a stop.
void ProcessSampler::TakeSleeper(Thread& thread, MonotonicTime now, WallTime wall) {
  thread.was_running = true;  // so that it is looked at again, until this has succeeded
  if (thread.is_asked) return;
  AddWallTime(thread, now);
  if (!spy_ || is_fallback_) TryAttach(now);
  std::array<char, 256> buffer;  // NOLINT: Read fills it
  const Result<std::string_view> text = thread.syscall.Read(buffer);
  if (!text) return;
  const Result<std::optional<BlockedCall>> call = ParseBlockedCall(*text);
  if (!call || !*call) return;
  Stack kernel_frames = ReadKernelFrames(thread);
  // Only the way into the kernel: it is not asleep yet.
  if (!kernel_frames.empty() && kernel_frames.size() <= kEntryFrames) return;
  if (!spy_ || !spy_->WantsSnapshots()) {
    stack_.clear();
    if (spy_ && spy_->PrepareStop(thread.inner_tid)) {
      const StackOutcome outcome = NameAfter(spy_->ReadStack(thread.inner_tid));
      if (outcome == StackOutcome::kWithoutGil) {
        LeaveOutWallTime(thread, now);
        thread.was_running = false;
        return;
      }
    }
    // Only if it did not run meanwhile is this one stack.
    if (spy_ && spy_->NeedsStop() && HasRun(thread)) return;
    if (stack_.empty())
      stack_.push_back({.function = spy_ ? context_.no_frames : context_.not_read});
    AddSleeper(thread, (*call)->number, kernel_frames, now);
    return;
  }
  Snapshot snapshot;
  snapshot.tid = thread.tid;
  snapshot.at = wall;
  snapshot.blocked_in = (*call)->number;
  snapshot.content.is_of_sleeper = true;
  snapshot.content.registers.values[RegisterNumbers::kSp] = (*call)->sp;
  snapshot.content.registers.values[RegisterNumbers::kPc] = (*call)->pc;
  static_cast<void>(spy_->PrepareStop(thread.inner_tid));
  context_.copier.Copy(process_->memory(), thread.stack, snapshot.content);
  spy_->CopyMore(thread.inner_tid, snapshot.content);
  context_.copier.Keep(snapshot.content);
  // Only if it did not run meanwhile is this one stack.
  if (HasRun(thread)) return;
  StackExtent extent;
  const StackOutcome outcome = spy_->ReadSnapshot(snapshot.content, now, extent, stack_);
  if (outcome == StackOutcome::kWithoutGil) {
    LeaveOutWallTime(thread, now);
    thread.was_running = false;
    return;
  }
  const bool was_cut = outcome == StackOutcome::kTruncated;
  if (outcome == StackOutcome::kStack || (was_cut && thread.stack.copies_all())) {
    AddSleeper(thread, (*call)->number, kernel_frames, now);
  }
  if (outcome == StackOutcome::kStack || was_cut) {
    thread.stack.Learn(extent, was_cut);
  } else if (outcome == StackOutcome::kIncomplete && thread.blip && thread.blocked == **call) {
    // It ran for a moment, since we stopped it, and sleeps where it slept.
    thread.blip = false;
    thread.was_running = false;
  } else if (outcome == StackOutcome::kIncomplete) {
    // Some register is missing that only a stop tells: one for each time that it goes to sleep.
    thread.blip = true;
    thread.asked_asleep = true;
    thread.blocked = **call;
    thread.kernel_frames = std::move(kernel_frames);
    AskForStop(thread, wall);
  }
}

bool ProcessSampler::HasRun(Thread& thread) const {
  std::array<char, 256> buffer;  // NOLINT: Read fills it
  const Result<std::string_view> text = thread.schedstat.Read(buffer);
  const Result<SchedStat> sched = text ? ParseSchedStat(*text) : Fail(Errc::kGone, "ended");
  return !sched || *sched != thread.last;
}

// Whether it went to sleep between our look and the stop, or stood in the run queue at our look, in
// a call by which it had given up its CPU or given it to a thread that it woke. One that was
// preempted anywhere else is as good a sample as one that runs.
bool ProcessSampler::WasOffCpu(Thread& thread, const Registers& registers) {
  if (registers.waited) return true;
  if (!registers.in_wait_call) return false;
  std::array<char, 256> buffer;  // NOLINT: Read fills it
  const Result<std::string_view> text = thread.schedstat.Read(buffer);
  const Result<SchedStat> sched = text ? ParseSchedStat(*text) : Fail(Errc::kGone, "ended");
  return sched && sched->slices != thread.last.slices;
}

// What the thread sleeps in, as the kernel sees it.
Stack ProcessSampler::ReadKernelFrames(Thread& thread) const {
  Stack frames;
  if (!context_.kernel_stacks) return frames;
  const Result<std::vector<std::string>> names = context_.kernel_stacks->Read(pid_, thread.tid);
  // Only if it did not run meanwhile are they of the sleep that the rest is of.
  if (!names || HasRun(thread)) return frames;
  for (const std::string& name : *names) {
    frames.push_back({.function = context_.functions->Marker(fmt::format("{} [kernel]", name))});
  }
  return frames;
}

// stack_ is what the thread sleeps in.
void ProcessSampler::AddSleeper(Thread& thread, std::int64_t call, const Stack& kernel_frames,
                                MonotonicTime now) {
  const std::string_view name = SystemCallName(call);
  if (!name.empty()) {
    stack_.insert(stack_.begin(),
                  {.function = context_.functions->Marker(fmt::format("{} [syscall]", name))});
  }
  stack_.insert(stack_.begin(), kernel_frames.begin(), kernel_frames.end());
  FollowName(thread, now);
  SetWallStack(thread, context_.window->InternStack(stack_), now);
  thread.was_running = false;
}

void ProcessSampler::SetWallStack(Thread& thread, StackId stack, MonotonicTime since) {
  if (since < thread.wall_since) return;  // it came late, and newer ones are known
  AddWallTime(thread, since);
  thread.wall_stack = stack;
  thread.wall_since = since;
}

void ProcessSampler::AddWallTime(Thread& thread, MonotonicTime now) {
  if (!context_.wall || !thread.wall_stack) return;
  const Nanoseconds time = now - thread.wall_since;
  if (time <= Nanoseconds(0)) return;
  context_.window->Add(*thread.wall_stack, IndexOf(thread), SampleKind::kCpu,
                       SystemClock().WallNow() - time,
                       {.count = 0, .cpu_ns = 0, .wall_ns = time.count()});
  thread.wall_since = now;
}

void ProcessSampler::LeaveOutWallTime(Thread& thread, MonotonicTime since) {
  AddWallTime(thread, since);
  thread.wall_stack.reset();
}

void ProcessSampler::AddWallTimes(MonotonicTime now) {
  for (auto& [tid, thread] : threads_) AddWallTime(thread, now);
}

void ProcessSampler::AskForStop(Thread& thread, WallTime wall) {
  const Result<void> asked = context_.tracer->Interrupt(pid_, thread.tid, *this);
  if (!asked) {
    if (asked.error().code == Errc::kNotPermitted) {
      Note({Refusal::Kind::kNotPermitted, asked.error().Message()});
      stack_ = {{.function = context_.not_read}};
      AddSample(thread, SystemClock().Now(), wall);
    } else if (asked.error().code != Errc::kGone) {
      ++context_.window->losses().stop_timeout;
    }
    return;
  }
  thread.is_asked = true;
  thread.asked_at = wall;
  thread.asked = SystemClock().Now();
  ++thread.unfinished;
}

void ProcessSampler::OnStopped(Tid tid, const Registers& registers) {
  const auto found = threads_.find(tid);
  if (found == threads_.end() || !spy_) return;
  Thread& thread = found->second;
  // What one that is off its CPU waits in has used none of the time that the sample would carry:
  // the next one carries it. But a thread that is met there each time is shown there rather than
  // nowhere.
  thread.is_missed =
      !thread.asked_asleep && WasOffCpu(thread, registers) && ++thread.misses <= kMostMisses;
  if (thread.is_missed) return;
  thread.misses = 0;
  if (!spy_->WantsSnapshots()) {
    stopped_outcome_ = spy_->ReadStack(thread.inner_tid);
    if (thread.name_stopped) stopped_outcome_ = NameAfter(stopped_outcome_);
    return;
  }
  Snapshot& snapshot = snapshots_.emplace_back();
  snapshot.tid = tid;
  snapshot.at = thread.asked_at;
  snapshot.asked = thread.asked;
  if (thread.asked_asleep) {
    snapshot.blocked_in = thread.blocked.number;
    snapshot.kernel_frames = std::move(thread.kernel_frames);
  }
  snapshot.content.registers = registers;
  context_.copier.Copy(process_->memory(), thread.stack, snapshot.content);
  spy_->CopyMore(thread.inner_tid, snapshot.content);
}

void ProcessSampler::OnReleased(Tid tid) {
  const auto found = threads_.find(tid);
  if (found == threads_.end()) return;
  Thread& thread = found->second;
  thread.is_asked = false;
  thread.asked_asleep = false;
  if (!spy_ || std::exchange(thread.is_missed, false)) {
    Finished(thread);
  } else if (!spy_->WantsSnapshots()) {
    const bool was_named = std::exchange(thread.name_stopped, false);
    StackOutcome outcome = was_named ? stopped_outcome_ : NameAfter(stopped_outcome_);
    // Stopped in the middle of a call, where no stack is whole: what follows is as good a sample.
    for (int i = 0; i < kMostLooks && outcome == StackOutcome::kTorn && !spy_->NeedsStop(); ++i) {
      outcome = NameAfter(spy_->ReadStack(thread.inner_tid));
    }
    if (outcome == StackOutcome::kUnreadable && !was_named) {
      thread.name_stopped = true;  // freed at once: again, and named in time
      AskForStop(thread, thread.asked_at);
    } else if (Count(outcome)) {
      AddSample(thread, thread.asked, thread.asked_at);
    }
    Finished(thread);
  } else {
    context_.copier.Keep(snapshots_.back().content);
    context_.waiting_bytes += snapshots_.back().content.stacks[0].bytes.size();
    if (std::ranges::find(context_.stopped, this) == context_.stopped.end()) {
      context_.stopped.push_back(this);
    }
  }
}

void ProcessSampler::OnGone(Tid tid) {
  const auto found = threads_.find(tid);
  if (found == threads_.end()) return;
  found->second.is_asked = false;
  Finished(found->second);
}

void ProcessSampler::TakeStopped(MonotonicTime now) {
  std::erase_if(snapshots_, [&](Snapshot& snapshot) { return ReadSnapshot(snapshot, now); });
}

// False when it has to wait for what is not ready.
bool ProcessSampler::ReadSnapshot(Snapshot& snapshot, MonotonicTime now) {
  const auto found = threads_.find(snapshot.tid);
  const std::size_t bytes = snapshot.content.stacks[0].bytes.size();
  StackOutcome outcome = StackOutcome::kGone;
  StackExtent extent;
  stack_.clear();
  if (spy_ && spy_->WantsSnapshots()) {
    outcome = spy_->ReadSnapshot(snapshot.content, now, extent, stack_);
  }
  LossCounters& losses = context_.window->losses();
  if (outcome == StackOutcome::kNotReady) {
    if (snapshot.give_up == MonotonicTime{}) snapshot.give_up = now + kLongestWaitForTables;
    if (now < snapshot.give_up && context_.waiting_bytes < kMaxWaitingBytes) return false;
    ++losses.dropped;
  }
  context_.waiting_bytes -= bytes;
  if (found == threads_.end()) return true;
  Thread& thread = found->second;
  if (outcome == StackOutcome::kTorn && !snapshot.blocked_in && ++thread.looks < kMostLooks) {
    AskForStop(thread, snapshot.at);  // stopped in the middle of a call: what follows will do
    Finished(thread);
    return true;
  }
  thread.looks = 0;
  if (outcome != StackOutcome::kNotReady && Count(outcome)) {
    thread.stack.Learn(extent, outcome == StackOutcome::kTruncated);
    if (snapshot.blocked_in && outcome == StackOutcome::kWithoutGil) {
      LeaveOutWallTime(thread, snapshot.asked);
    } else if (snapshot.blocked_in) {
      AddSleeper(thread, *snapshot.blocked_in, snapshot.kernel_frames, snapshot.asked);
    } else {
      AddSample(thread, snapshot.asked, snapshot.at);
    }
  }
  Finished(thread);
  return true;
}

void ProcessSampler::Finished(Thread& thread) {
  if (thread.unfinished > 0) --thread.unfinished;
  if (thread.unfinished == 0) Claim(thread, std::exchange(thread.unclaimed, Nanoseconds(0)));
}

void ProcessSampler::ForgetSnapshots() {
  for (const Snapshot& snapshot : snapshots_) {
    context_.waiting_bytes -= snapshot.content.stacks[0].bytes.size();
    const auto found = threads_.find(snapshot.tid);
    if (found == threads_.end()) continue;
    stack_.clear();
    if (!snapshot.blocked_in) AddSample(found->second, snapshot.asked, snapshot.at);
    Finished(found->second);
  }
  snapshots_.clear();
}

StackOutcome ProcessSampler::NameAfter(StackOutcome read) {
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

bool ProcessSampler::MayStop(const Thread& thread, MonotonicTime now) const {
  return context_.has_ptrace_capability || (thread.flags & kForkNoExec) == 0 ||
         now - born_ > kForkToExec;
}

void ProcessSampler::FollowImage(const TaskStat& stat, MonotonicTime now) {
  has_executed_ = (stat.flags & kForkNoExec) == 0;
  if (stat.start_code == start_code_ && stat.start_stack == start_stack_) return;
  start_code_ = stat.start_code;
  start_stack_ = stat.start_stack;
  // The process has executed another program: nothing that was known holds.
  ForgetSnapshots();
  labels_.reset();
  for (auto& [tid, thread] : threads_) {
    thread.index_of = nullptr;
    thread.name.Forget();
  }
  DropSpy();
  process_ = std::make_unique<LiveProcess>(pid_);
  refused_for_good_ = false;
  next_attach_ = now;
  attach_pause_ = kFirstAttachPause;
  born_ = now;
}

void ProcessSampler::TryAttach(MonotonicTime now) {
  if (now < next_attach_ || (refused_for_good_ && spy_)) return;
  // Looking into files takes its time, and a thread that stops meanwhile waits for us. But one that
  // never stops does not keep others out for ever.
  if (context_.tracer->HasPending() && now - born_ < kCoolDown) return;
  const std::expected<void, Refusal> attached = AttachNow();
  if (!attached) Note(attached.error());
  if (attached && !is_fallback_) return;
  if (now - born_ > kStartUp) {
    attach_pause_ = std::min<Nanoseconds>(attach_pause_ * 2, kLongestAttachPause);
  }
  next_attach_ = now + attach_pause_;
}

std::expected<void, Refusal> ProcessSampler::AttachNow() {
  Refusal refusal;
  for (SpyFactory* factory : context_.factories) {
    if (factory->IsFallback() ? spy_ != nullptr : refused_for_good_) continue;
    auto spy = factory->Attach(*process_);
    if (spy) {
      ForgetSnapshots();
      if (spy_) CountRuntime(-1);  // a fallback, given up for one that knows more
      spy_ = *std::move(spy);
      // Sleepers were looked at by nobody, or by who knew less.
      for (auto& [tid, thread] : threads_) {
        thread.was_running = true;
        thread.blip = false;
        thread.name.AskSoon();
      }
      is_fallback_ = factory->IsFallback();
      CountRuntime(1);
      LogInfo("process {} ({}) runs {}", static_cast<pid_t>(pid_), comm_, spy_->Runtime());
      return {};
    }
    refusal = std::move(spy).error();
    if (refusal.kind == Refusal::Kind::kUnsupported) {
      Note(refusal);  // what is left is its machine code
    } else if (refusal.kind != Refusal::Kind::kNotMine) {
      break;
    }
  }
  if (spy_) return {};
  return std::unexpected(std::move(refusal));
}

void ProcessSampler::CountRuntime(std::int64_t processes) {
  const std::string runtime(spy_->Runtime());
  const auto place = context_.runtimes.try_emplace(runtime, 0).first;
  place->second += processes;
  if (place->second == 0) context_.runtimes.erase(place);
}

void ProcessSampler::Note(const Refusal& refusal) {
  switch (refusal.kind) {
    case Refusal::Kind::kNotMine:
    case Refusal::Kind::kNotYet:
    case Refusal::Kind::kGone:
      return;
    case Refusal::Kind::kUnsupported:
      refused_for_good_ = true;
      LogWarn("process {} ({}) is shown as machine code only: {}", static_cast<pid_t>(pid_), comm_,
              refusal.reason);
      break;
    case Refusal::Kind::kNotPermitted:
      // What is between fork and exec may be about to become another user.
      if (has_executed_ && !std::exchange(context_.said_not_permitted, true)) {
        LogWarn("process {} ({}) is not profiled: {}", static_cast<pid_t>(pid_), comm_,
                WhyNotPermitted(pid_));
      }
      break;
  }
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
  // What is still under way must not be claimed after the rest has been given out.
  ForgetSnapshots();
  for (auto& [tid, thread] : threads_) {
    thread.unfinished = 0;
    Claim(thread, std::exchange(thread.unclaimed, Nanoseconds(0)));
  }
  static_cast<void>(ReadClock());  // still there when nobody has reaped it yet
  Nanoseconds rest = clock_ - clock_base_ - claimed_;
  // Of it a last sample carries what a sample stands for.
  for (auto& [tid, thread] : threads_) {
    const auto waiting = static_cast<std::int64_t>(thread.weights.waiting().size());
    const Nanoseconds most = context_.window->period() * waiting;
    const Nanoseconds share = std::clamp(rest, Nanoseconds(0), most);
    Claim(thread, share);
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
