// SPDX-License-Identifier: Apache-2.0
// The part of ProcessSampler that stops threads, and makes samples of what was copied of them.
#include <algorithm>
#include <utility>

#include "agent/base/log.h"
#include "agent/process/rights.h"
#include "agent/sampling/process_sampler.h"

namespace agent {
namespace {

constexpr std::chrono::seconds kForkToExec{1};
constexpr std::chrono::seconds kPauseAfterRefusal{1};
constexpr int kMostLooks = 3;
// From when a CPU was taken from a thread to our first look at the clock there, and from when it
// was given back until the thread has it.
constexpr std::chrono::microseconds kSwitches{12};
constexpr int kMostMisses = 20;
// A table of a large library takes a tenth of a second to compile.
constexpr std::chrono::seconds kLongestWaitForTables{2};
constexpr std::size_t kMaxWaitingBytes = 32u << 20;

}  // namespace

bool ProcessSampler::MayStop(const Thread& thread, MonotonicTime now) const {
  if (ReadsRunning() && now < stops_refused_until_) return false;
  return context_.has_ptrace_capability || (thread.flags & kForkNoExec) == 0 ||
         now - born_ > kForkToExec;
}

// For its stack to be read truly. Rates that need bursts leave no time for it where the spy can do
// without.
bool ProcessSampler::HasToStandStill(const Thread& thread) const {
  return !ReadsRunning() || (!context_.bursts && thread.stillness.NeedsStop());
}

void ProcessSampler::AskForStop(Thread& thread, WallTime wall) {
  const Result<void> asked = context_.tracer->Interrupt(pid_, thread.tid, *this);
  if (!asked) {
    if (asked.error().code == Errc::kNotPermitted) {
      Note({Refusal::Kind::kNotPermitted, asked.error().Message()});
      TakeUnstopped(thread, wall);
    } else if (asked.error().code != Errc::kGone) {
      ++context_.window->losses().stop_timeout;
    }
    return;
  }
  thread.is_asked = true;
  thread.asked_at = wall;
  thread.asked = SystemClock().Now();
  ++thread.unfinished;
  const bool was_held = context_.pacers.Release(thread.cpu);
  thread.stood_until = was_held ? SystemClock().Now() : MonotonicTime::max();
}

// After the kernel has refused a stop.
void ProcessSampler::TakeUnstopped(Thread& thread, WallTime wall) {
  const MonotonicTime now = SystemClock().Now();
  const bool again =
      std::exchange(stops_refused_until_, now + kPauseAfterRefusal) != MonotonicTime{};
  StackOutcome outcome = StackOutcome::kTorn;
  for (int look = 0; ReadsRunning() && look < 2; ++look) {
    outcome = NameAfter(spy_->ReadStack(thread.inner_tid, ReadMode::kRunning));
    if (outcome != StackOutcome::kUnreadable) break;  // new code is known at the second look
  }
  if (outcome == StackOutcome::kTorn) {
    stack_ = {{.function = context_.not_read}};
  } else if (!Count(outcome)) {
    return;
  }
  AddSample(thread, now, wall);
  // Once may be the start of a program.
  if (!again || !ReadsRunning() || std::exchange(context_.said_not_stopped, true)) return;
  LogWarn(
      "process {} ({}) is read without stopping it, and code that calls often shows too little: {}",
      static_cast<pid_t>(pid_), comm_, WhyNotPermitted(pid_));
}

// Whether it went to sleep between our look and the stop, or stood in the run queue at our look, in
// a call by which it had given up its CPU or given it to a thread that it woke. One that was
// preempted anywhere else is as good a sample as one that runs.
bool ProcessSampler::WasOffCpu(Thread& thread, const Registers& registers) {
  if (registers.waited) return true;
  if (!registers.in_wait_call) return false;
  const Result<SchedStat> sched = SchedStatOf(thread);
  if (!sched || sched->slices == thread.last.slices) return false;
  // It may have had to wait for us, and for nobody else.
  const bool once = thread.stands_since && sched->slices == thread.last.slices + 1;
  const MonotonicTime until = std::min(SystemClock().Now(), thread.stood_until);
  return !once || sched->wait - thread.last.wait > until - *thread.stands_since + kSwitches;
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
    stopped_outcome_ = spy_->ReadStack(thread.inner_tid, ReadMode::kStill);
    if (thread.name_stopped) stopped_outcome_ = NameAfter(stopped_outcome_);
    return;
  }
  Snapshot& snapshot = snapshots_.emplace_back();
  snapshot.tid = tid;
  snapshot.at = thread.asked_at;
  snapshot.asked = thread.asked;
  if (thread.asked_asleep) {
    snapshot.blocked_in = thread.blocked;
    snapshot.kernel_frames = std::move(thread.kernel_frames);
  }
  snapshot.content.registers = registers;
  snapshot.content.comm = thread.comm;
  context_.copier.Copy(process_->memory(), thread.stack, snapshot.content);
  spy_->CopyMore(thread.inner_tid, snapshot.content);
}

// True when it was stopped in the middle of a call, where no stack is whole: what the next stop
// meets will do, or where it gets no CPU in between, the next sample, which carries its time.
bool ProcessSampler::TakesLater(Thread& thread, WallTime at, StackOutcome outcome) {
  if (outcome != StackOutcome::kTorn || ++thread.looks >= kMostMisses) {
    thread.looks = 0;
    return false;
  }
  if (thread.looks % kMostLooks != 0) AskForStop(thread, at);
  return true;
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
    const StackOutcome outcome = was_named ? stopped_outcome_ : NameAfter(stopped_outcome_);
    if (outcome == StackOutcome::kUnreadable && !was_named) {
      thread.name_stopped = true;  // freed at once: again, and named in time
      AskForStop(thread, thread.asked_at);
    } else if (!TakesLater(thread, thread.asked_at, outcome) && Count(outcome)) {
      AddSample(thread, thread.asked, thread.asked_at);
    }
    Finished(thread);
    if (!ReadsRunning() || !thread.stillness.WantsReading()) return;
    const StackOutcome reading =
        NameAfter(spy_->ReadStack(thread.inner_tid, ReadMode::kRunningOnce));
    thread.stillness.See(reading == StackOutcome::kTorn || reading == StackOutcome::kUnreadable);
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
  if (!snapshot.blocked_in && TakesLater(thread, snapshot.at, outcome)) {
    Finished(thread);
    return true;
  }
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
  if (thread.unfinished > 0) return;
  Claim(thread, std::exchange(thread.unclaimed, Nanoseconds(0)), /*at_once=*/context_.bursts);
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

}  // namespace agent
