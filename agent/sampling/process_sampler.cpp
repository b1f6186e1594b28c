// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/process_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/base/log.h"

namespace agent {
namespace {

// A thread that did nothing for this long is read only when the process's own clock tells that some
// such thread ran.
constexpr std::chrono::seconds kCoolDown{1};
// A thread in the run queue stops when it gets a CPU; on a busy machine that takes milliseconds.
constexpr std::chrono::milliseconds kStopDeadline{10};
constexpr std::chrono::seconds kForkToExec{1};
// Code that is made, run and freed within the time of one look (a module's, at its import) rarely
// escapes three looks in a row.
constexpr int kMostLooks = 3;
// An interpreter needs some 10 ms from exec to its first frame.
constexpr std::chrono::milliseconds kFirstAttachPause{4};
constexpr std::chrono::milliseconds kStartUp{300};
constexpr std::chrono::milliseconds kLongestAttachPause{500};

std::string TaskPath(Pid pid, Tid tid, std::string_view file) {
  return fmt::format("/proc/{}/task/{}/{}", static_cast<pid_t>(pid), static_cast<pid_t>(tid), file);
}

}  // namespace

ProcessSampler::Thread::Thread(Pid pid, Tid thread_id, InnerTid inner)
    : tid(thread_id),
      inner_tid(inner),
      stat(TaskPath(pid, thread_id, "stat")),
      schedstat(TaskPath(pid, thread_id, "schedstat")) {}

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

bool ProcessSampler::ReadClock() {
  timespec time{};
  if (::clock_gettime(clock_id_, &time) != 0) return false;
  clock_ = std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
  return true;
}

void ProcessSampler::AddThread(Tid tid, InnerTid inner_tid) {
  threads_.try_emplace(tid, pid_, tid, inner_tid);
}

Nanoseconds ProcessSampler::HotTime() const {
  Nanoseconds sum{0};
  for (const auto& [tid, thread] : threads_) {
    if (thread.hot) sum += thread.last.run;
  }
  return sum;
}

bool ProcessSampler::Tick(MonotonicTime now, WallTime wall) {
  // Read before the threads: what they use meanwhile must not look like time of cold ones.
  if (!ReadClock()) return false;
  for (auto place = threads_.begin(); place != threads_.end();) {
    Thread& thread = place->second;
    const Look look = thread.hot ? LookAt(thread, now, wall) : Look::kIdle;
    if (look == Look::kGone) {
      place = threads_.erase(place);
      continue;
    }
    if (look == Look::kActive) thread.last_active = now;
    if (thread.hot && now - thread.last_active > kCoolDown) {
      thread.hot = false;
      thread.stat.Close();
      thread.schedstat.Close();
    }
    ++place;
  }
  if (clock_ - HotTime() > cold_seen_) LookAtColdThreads(now, wall);
  return !threads_.empty();
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
      place = threads_.erase(place);
      continue;
    }
    if (look == Look::kActive) {
      thread.hot = true;
      thread.last_active = now;
    } else {
      thread.stat.Close();
      thread.schedstat.Close();
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
  if (!first && !thread.was_running && *sched == thread.last) return Look::kIdle;
  const Result<std::string_view> stat_text = thread.stat.Read(buffer);
  if (!stat_text) return Look::kGone;
  const Result<TaskStat> stat = ParseTaskStat(*stat_text);
  if (!stat || stat->state == 'Z' || stat->state == 'X') return Look::kGone;
  Nanoseconds growth = sched->run - thread.last.run;
  if (first && !context_.count_from_birth && now - born_ < kCoolDown) growth = Nanoseconds(0);
  thread.last = *sched;
  thread.looked_at = true;
  thread.was_running = stat->state == 'R';
  if (stat->comm != thread.comm) {
    thread.comm = stat->comm;
    thread.index_of = nullptr;
    if (static_cast<pid_t>(thread.tid) == static_cast<pid_t>(pid_)) comm_ = stat->comm;
  }
  if (thread.was_running) {
    FollowImage(*stat, now);
    TakeSample(thread, *stat, now, wall);
  }
  Claim(thread, growth);
  return thread.was_running || growth > Nanoseconds(0) ? Look::kActive : Look::kIdle;
}

void ProcessSampler::Claim(Thread& thread, Nanoseconds growth) {
  thread.weights.Grow(growth, [&](const CpuWeights::Sample& sample, Nanoseconds share) {
    context_.window->Add(sample.stack, IndexOf(thread), SampleKind::kCpu, sample.at,
                         {.count = 0, .cpu_ns = share.count()});
    claimed_ += share;
  });
}

ThreadIndex ProcessSampler::IndexOf(Thread& thread) {
  if (thread.index_of != context_.window.get()) {
    thread.index = context_.window->InternThread(
        {.pid = pid_, .tid = thread.tid, .process_name = comm_, .thread_name = thread.comm});
    thread.index_of = context_.window.get();
  }
  return thread.index;
}

void ProcessSampler::TakeSample(Thread& thread, const TaskStat& stat, MonotonicTime now,
                                WallTime wall) {
  if (!ReadFrames(thread, stat, now)) return;
  if (!stack_.empty()) {
    ++context_.stacks;
  } else {
    stack_.push_back({.function = context_.no_frames, .line = 0});
  }
  const StackId stack = context_.window->InternStack(stack_);
  context_.window->Add(stack, IndexOf(thread), SampleKind::kCpu, wall, {.count = 1, .cpu_ns = 0});
  thread.weights.AddSample({.stack = stack, .at = wall});
  context_.page->samples_taken.fetch_add(1, std::memory_order_relaxed);
}

// Fills stack_, which stays empty when the thread has no frames to show. False: the sample is lost,
// and counted.
bool ProcessSampler::ReadFrames(Thread& thread, const TaskStat& stat, MonotonicTime now) {
  stack_.clear();
  if (!spy_) TryAttach(now);
  if (!spy_) return true;
  const bool may_stop = MayStop(stat, now);
  StackOutcome outcome = StackOutcome::kTorn;
  if (!context_.always_stop || !may_stop) outcome = ReadRunning(thread);
  // Losing torn stacks would favour code that seldom calls: stop the thread for an exact one. A
  // code object that was freed before it was named counts as torn too.
  if ((outcome == StackOutcome::kTorn || outcome == StackOutcome::kUnreadable) && may_stop) {
    const std::optional<StackOutcome> stopped = ReadStopped(thread, now);
    if (!stopped) {
      ++context_.window->losses().stop_timeout;
      return false;
    }
    outcome = NameAfter(*stopped);
    if (outcome == StackOutcome::kUnreadable) outcome = ReadRunning(thread);
  }
  return Count(outcome);
}

// A code object that was freed before it was named: what the thread runs now is as good a sample.
StackOutcome ProcessSampler::ReadRunning(Thread& thread) {
  StackOutcome outcome = StackOutcome::kUnreadable;
  for (int i = 0; i < kMostLooks && outcome == StackOutcome::kUnreadable; ++i) {
    outcome = NameAfter(spy_->ReadStack(thread.inner_tid));
  }
  return outcome;
}

// Nothing when the thread did not stop in time.
std::optional<StackOutcome> ProcessSampler::ReadStopped(Thread& thread, MonotonicTime now) {
  const Result<StoppedThread> stop = context_.tracer->Stop(pid_, thread.tid, now + kStopDeadline);
  if (!stop && stop.error().code == Errc::kTimeout) return std::nullopt;
  return spy_->ReadStack(thread.inner_tid);  // not permitted to stop it: one more try without
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
    case StackOutcome::kTruncated:
      ++losses.truncated;
      return true;
    case StackOutcome::kTorn:
      ++losses.torn;
      return false;
    case StackOutcome::kUnreadable:
      ++losses.unreadable;
      return false;
    case StackOutcome::kGone:
      spy_.reset();  // the process ended, or runs another program now
      return true;   // its last CPU time, without an address space, is its own all the same
  }
  return false;
}

bool ProcessSampler::MayStop(const TaskStat& stat, MonotonicTime now) const {
  return context_.has_ptrace_capability || (stat.flags & kForkNoExec) == 0 ||
         now - born_ > kForkToExec;
}

void ProcessSampler::FollowImage(const TaskStat& stat, MonotonicTime now) {
  if (stat.start_code == start_code_ && stat.start_stack == start_stack_) return;
  start_code_ = stat.start_code;
  start_stack_ = stat.start_stack;
  // The process has executed another program: nothing that was known holds.
  process_ = std::make_unique<LiveProcess>(pid_);
  spy_.reset();
  refused_for_good_ = false;
  next_attach_ = now;
  attach_pause_ = kFirstAttachPause;
  born_ = now;
}

void ProcessSampler::TryAttach(MonotonicTime now) {
  if (refused_for_good_ || now < next_attach_) return;
  // Looking into files takes its time, and a thread that stops meanwhile waits for us. But one that
  // never stops does not keep others out for ever.
  if (context_.tracer->HasPending() && now - born_ < kCoolDown) return;
  const std::expected<void, Refusal> attached = AttachNow();
  if (attached) return;
  Note(attached.error());
  if (now - born_ > kStartUp) {
    attach_pause_ = std::min<Nanoseconds>(attach_pause_ * 2, kLongestAttachPause);
  }
  next_attach_ = now + attach_pause_;
}

std::expected<void, Refusal> ProcessSampler::AttachNow() {
  Refusal refusal;
  for (SpyFactory* factory : context_.factories) {
    auto spy = factory->Attach(*process_);
    if (spy) {
      spy_ = *std::move(spy);
      LogInfo("process {} ({}) runs {}", static_cast<pid_t>(pid_), comm_, spy_->Runtime());
      return {};
    }
    refusal = std::move(spy).error();
    if (refusal.kind != Refusal::Kind::kNotMine) break;
  }
  return std::unexpected(std::move(refusal));
}

void ProcessSampler::Note(const Refusal& refusal) {
  switch (refusal.kind) {
    case Refusal::Kind::kNotMine:
    case Refusal::Kind::kNotYet:
    case Refusal::Kind::kGone:
      return;
    case Refusal::Kind::kUnsupported:
      refused_for_good_ = true;
      LogWarn("process {} ({}) is not profiled: {}", static_cast<pid_t>(pid_), comm_,
              refusal.reason);
      break;
    case Refusal::Kind::kNotPermitted:
      if (!std::exchange(context_.said_not_permitted, true)) {
        LogWarn(
            "process {} ({}) is not profiled: the kernel does not let us look into it ({}); "
            "run as the same user or as root, in a container add the capability SYS_PTRACE, or set "
            "kernel.yama.ptrace_scope to 1 or less",
            static_cast<pid_t>(pid_), comm_, refusal.reason);
      }
      break;
  }
  if (context_.trouble.empty()) context_.trouble = refusal.reason;
}

void ProcessSampler::FollowWindow(const Profile& old) {
  for (auto& [tid, thread] : threads_) {
    for (CpuWeights::Sample& sample : thread.weights.waiting()) {
      sample.stack = context_.window->InternStack(old.StackFrames(sample.stack));
    }
    thread.index_of = nullptr;
  }
}

Nanoseconds ProcessSampler::End(WallTime wall) {
  static_cast<void>(ReadClock());  // still there when nobody has reaped it yet
  const Nanoseconds rest = clock_ - clock_base_ - claimed_;
  if (rest > Nanoseconds(0)) {
    const Frame frame{.function = context_.not_sampled, .line = 0};
    const ThreadIndex index = context_.window->InternThread({.pid = pid_,
                                                             .tid = Tid{static_cast<pid_t>(pid_)},
                                                             .process_name = comm_,
                                                             .thread_name = comm_});
    context_.window->Add(context_.window->InternStack({&frame, 1}), index, SampleKind::kCpu, wall,
                         {.count = 0, .cpu_ns = rest.count()});
    claimed_ += rest;
  }
  return claimed_;
}

}  // namespace agent
