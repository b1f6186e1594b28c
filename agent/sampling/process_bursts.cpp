// SPDX-License-Identifier: Apache-2.0
// The part of ProcessSampler that rates beyond that of ticks need: bursts of quick looks, which
// become samples at the next tick.
#include <algorithm>
#include <array>
#include <utility>

#include "agent/sampling/process_sampler.h"

namespace agent {
namespace {

// What one sample of a thread stands for at most.
constexpr Nanoseconds kLongestSample = std::chrono::milliseconds(1);

}  // namespace

bool ProcessSampler::HasRunning() const {
  return std::ranges::any_of(hot_threads_, &Thread::was_running);
}

bool ProcessSampler::LookQuickly(MonotonicTime now) {
  bool all = true;
  for (Thread* thread : burst_threads_) all &= thread->burst.Look(now);
  return all;
}

void ProcessSampler::EndBursts() {
  for (Thread* thread : burst_threads_) thread->burst.End(*context_.window);
  burst_threads_.clear();
}

// Whether it has gone to sleep since this was last asked, or may have.
bool ProcessSampler::HasSlept(Thread& thread) {
  std::array<char, 4096> buffer;  // NOLINT: Read fills it
  const Result<std::string_view> text = thread.status.Read(buffer);
  if (!text) return true;
  const Result<std::uint64_t> sleeps = ParseVoluntarySwitches(*text);
  if (!sleeps) return true;
  return std::exchange(thread.sleeps, *sleeps) != *sleeps;
}

// `ran_on`: from the sample before the burst until now.
void ProcessSampler::SettleBurst(Thread& thread, bool ran_on, MonotonicTime now, WallTime wall) {
  if (ran_on && !thread.burst.empty()) {
    const ThreadIndex index = IndexOf(thread);
    std::int64_t count = 0;
    for (const Burst::Sum& sum : thread.burst.Take()) {
      context_.window->Add(sum.stack, index, SampleKind::kCpu, wall,
                           {.count = sum.count, .cpu_ns = 0});
      thread.weights.AddSample(
          {.stack = sum.stack, .at = wall, .time = std::max(sum.time, Nanoseconds(1))});
      count += sum.count;
    }
    context_.page->samples_taken.fetch_add(static_cast<std::uint64_t>(count),
                                           std::memory_order_relaxed);
    thread.sampled = thread.burst.last();
  } else if (!thread.burst.empty()) {
    thread.burst.Drop();
  }
  if (context_.bursts) {
    thread.sample_time = std::clamp(now - thread.sampled, Nanoseconds(1), kLongestSample);
    thread.sampled = now;
  }
}

// The thread's stack was just read, into stack_.
void ProcessSampler::BeginBurst(Thread& thread, MonotonicTime now) {
  QuickLooks* looks = spy_->BeginBurst(thread.inner_tid, stack_);
  if (looks == nullptr) return;
  thread.burst.Begin(*looks, now);
  burst_threads_.push_back(&thread);
}

void ProcessSampler::DropSpy() {
  for (Thread* thread : burst_threads_) thread->burst.Abandon();
  burst_threads_.clear();
  for (auto& [tid, thread] : threads_) thread.burst.ForgetIds();
  spy_.reset();
  is_fallback_ = false;
}

}  // namespace agent
