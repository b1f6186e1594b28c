// SPDX-License-Identifier: Apache-2.0
// The part of ProcessSampler that --wall needs: threads that sleep, and the time that they do so.
#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

#include "agent/process/blocked_call.h"
#include "agent/sampling/process_sampler.h"

namespace agent {
namespace {

constexpr std::size_t kEntryFrames = 2;  // do_syscall_64, entry_SYSCALL_64_after_hwframe

}  // namespace

// A thread that has run since the last look, and sleeps now. It is read without a stop.
void ProcessSampler::TakeSleeper(Thread& thread, MonotonicTime now, WallTime wall) {
  thread.was_running = true;  // so that it is looked at again, until this has succeeded
  thread.stat_read = {};
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
      const StackOutcome outcome = NameAfter(spy_->ReadStack(thread.inner_tid, ReadMode::kStill));
      if (outcome == StackOutcome::kWithoutGil) {
        LeaveOutWallTime(thread, now);
        thread.was_running = false;
        return;
      }
    }
    // Only if it did not run meanwhile is this one stack.
    if (spy_ && HasRun(thread)) return;
    if (stack_.empty())
      stack_.push_back({.function = spy_ ? context_.no_frames : context_.not_read});
    AddSleeper(thread, **call, kernel_frames, now);
    return;
  }
  Snapshot snapshot;
  snapshot.tid = thread.tid;
  snapshot.at = wall;
  snapshot.blocked_in = **call;
  snapshot.content.comm = thread.comm;
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
    AddSleeper(thread, **call, kernel_frames, now);
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

bool ProcessSampler::HasRun(Thread& thread) {
  const Result<SchedStat> sched = SchedStatOf(thread);
  return !sched || *sched != thread.last;
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
void ProcessSampler::AddSleeper(Thread& thread, const BlockedCall& call, const Stack& kernel_frames,
                                MonotonicTime now) {
  if (spy_ && call.number == SYS_futex) {
    if (const Function* wait = spy_->WaitAt(RemoteAddress(call.first_argument))) {
      stack_.insert(stack_.begin(), {.function = wait});
    }
  }
  const std::string_view name = SystemCallName(call.number);
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

}  // namespace agent
