// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/pacers.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>

#include "agent/base/scheduling.h"
#include "agent/base/signals_blocked.h"

namespace agent {
namespace {

std::int64_t Number(MonotonicTime time) { return time.time_since_epoch().count(); }

void SleepUntil(std::int64_t tick) {
  const timespec until{tick / 1'000'000'000, tick % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

}  // namespace

Pacer::Pacer(int cpu) {
  const SignalsBlocked blocked;
  std::thread([shared = shared_, cpu] { Run(*shared, cpu); }).detach();
}

Pacer::~Pacer() {
  shared_->released = INT64_MAX;
  shared_->next = -1;
  shared_->next.notify_one();
}

void Pacer::SetNext(MonotonicTime tick) {
  shared_->next = Number(tick);
  shared_->next.notify_one();
}

std::optional<MonotonicTime> Pacer::AwaitHold(MonotonicTime tick, MonotonicTime deadline) const {
  const std::int64_t wanted = Number(tick);
  if (shared_->released == wanted) return std::nullopt;
  const SystemClock clock;
  while (shared_->held != wanted) {
    if (clock.Now() >= deadline) return std::nullopt;
  }
  return MonotonicTime(Nanoseconds(shared_->held_since));
}

void Pacer::Release(MonotonicTime tick) { shared_->released = Number(tick); }

void Pacer::Run(Shared& shared, int cpu) {
  ::pthread_setname_np(::pthread_self(), "agent-pacer");
  if (!BindToCpu(cpu)) return;
  RunInShortTurns();
  const SystemClock clock;
  std::int64_t done = 0;
  while (true) {
    const std::int64_t tick = shared.next;
    if (tick < 0) return;
    if (tick <= done) {
      shared.next.wait(tick);
      continue;
    }
    done = tick;
    SleepUntil(tick);
    const MonotonicTime now = clock.Now();
    if (Number(now) - tick > Nanoseconds(kLongestHold).count()) continue;  // nobody waits any more
    shared.held_since = Number(now);
    shared.held = tick;
    while (shared.released < tick && clock.Now() < now + kLongestHold) {
    }
    shared.held = 0;
  }
}

void Pacers::BeginTick(MonotonicTime tick, MonotonicTime following, MonotonicTime now) {
  tick_ = tick;
  following_ = following;
  begun_ = now;
  const Nanoseconds late = std::clamp(now - (tick - lead_), Nanoseconds(0), Nanoseconds(kMostLate));
  mean_late_ += (late - mean_late_) / kMean;
}

std::optional<MonotonicTime> Pacers::Hold(int cpu) {
  if (is_refused_ || cpu < 0 || begun_ < paused_until_) return std::nullopt;
  if (cpu == ::sched_getcpu()) return begun_;  // ours: the thread waits for us
  Entry* entry = Find(cpu);
  if (entry == nullptr) return std::nullopt;
  entry->wanted = begun_;
  if (entry->told != tick_) return std::nullopt;
  const auto since = entry->pacer->AwaitHold(tick_, std::max(begun_, tick_) + kLongestWait);
  Judge(since.has_value());
  return since;
}

Pacers::Entry* Pacers::Find(int cpu) {
  const auto place = entries_.find(cpu);
  if (place != entries_.end()) return &place->second;
  if (entries_.size() >= kMost) {
    // Programs wander: in place of the one that has not been wanted for longest.
    const auto oldest = std::ranges::min_element(
        entries_, {}, [](const auto& entry) { return entry.second.wanted; });
    if (oldest->second.wanted == begun_) return nullptr;
    entries_.erase(oldest);
  }
  try {
    return &entries_.try_emplace(cpu, std::make_unique<Pacer>(cpu)).first->second;
  } catch (const std::system_error&) {  // as many threads as there may be
    is_refused_ = true;
    return nullptr;
  }
}

void Pacers::Judge(bool was_held) {
  credit_ = std::min(credit_ + (was_held ? 1 : -1), kMostCredit);
  if (credit_ > 0) return;
  credit_ = kMostCredit;
  paused_until_ = begun_ + kPause;
}

bool Pacers::Release(int cpu) {
  const auto place = entries_.find(cpu);
  if (place == entries_.end()) return false;
  Release(place->second);
  return true;
}

void Pacers::Release(Entry& entry) {
  // In this order: it need not wait to be told.
  if (begun_ - entry.wanted < kKept && entry.told != following_) {
    entry.told = following_;
    entry.pacer->SetNext(following_);
  }
  entry.pacer->Release(tick_);
}

void Pacers::EndTick() {
  lead_ = Nanoseconds(0);
  for (auto& [cpu, entry] : entries_) {
    Release(entry);
    if (entry.told == following_) lead_ = mean_late_;
  }
}

}  // namespace agent
