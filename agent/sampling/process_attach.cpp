// SPDX-License-Identifier: Apache-2.0
// The part of ProcessSampler that finds the spy for what the process runs, and another one when it
// executes another program.
#include <algorithm>
#include <utility>

#include "agent/base/log.h"
#include "agent/process/rights.h"
#include "agent/sampling/process_sampler.h"

namespace agent {
namespace {

// An interpreter needs some 10 ms from exec to its first frame.
constexpr std::chrono::milliseconds kFirstAttachPause{4};
constexpr std::chrono::milliseconds kStartUp{300};
// What an interpreter runs before it is one needs a stop; the interpreter may not.
constexpr std::chrono::milliseconds kUntilNotPermitted{20};
constexpr std::chrono::milliseconds kLongestAttachPause{500};

}  // namespace

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
  context_.seat.Leave();
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
      not_permitted_.clear();
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
      if (refusal.reason.empty()) return;
      LogWarn("process {} ({}) is shown as machine code only: {}", static_cast<pid_t>(pid_), comm_,
              refusal.reason);
      break;
    case Refusal::Kind::kNotPermitted:
      // What is between fork and exec may be about to become another user.
      if (!has_executed_ || context_.said_not_permitted) return;
      if (not_permitted_.empty()) not_permitted_ = WhyNotPermitted(pid_);
      if (SystemClock().Now() - born_ > kUntilNotPermitted) SayNotPermitted();
      break;
  }
}

void ProcessSampler::SayNotPermitted() {
  if (not_permitted_.empty()) return;
  if (ReadsRunning()) return;
  if (std::exchange(context_.said_not_permitted, true)) return;
  LogWarn("process {} ({}) is not profiled: {}", static_cast<pid_t>(pid_), comm_, not_permitted_);
}

}  // namespace agent
