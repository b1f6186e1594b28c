// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/burst.h"

#include <algorithm>

namespace agent {
namespace {

// A burst during which the thread slept is lost, so it is no longer than the thread's usual run.
constexpr Nanoseconds kShortest = std::chrono::microseconds(5);
constexpr Nanoseconds kLongest = std::chrono::microseconds(500);

}  // namespace

void Burst::Begin(QuickLooks& looks, MonotonicTime now) {
  looks_ = &looks;
  seen_.clear();
  sums_.clear();
  before_ = now;
  last_ = now;
  end_ = now + length_;
}

bool Burst::Look(MonotonicTime now) {
  if (now >= end_) return false;
  const std::optional<std::uint32_t> number = looks_->Look();
  if (!number) return false;
  seen_.push_back({.number = *number, .time = now - last_});
  last_ = now;
  return true;
}

void Burst::Abandon() {
  looks_ = nullptr;
  sums_.clear();
}

void Burst::End(Profile& window) {
  if (looks_ == nullptr) return;
  QuickLooks& looks = *looks_;
  looks_ = nullptr;
  sums_.clear();
  seen_.resize(std::min(seen_.size(), looks.End()));
  last_ = before_;
  if (seen_.empty()) return;
  if (ids_generation_ != looks.generation()) {
    ids_generation_ = looks.generation();
    ids_.clear();
  }
  for (const OneLook& look : seen_) {
    if (look.number >= ids_.size()) ids_.resize(look.number + 1);
    if (look.number >= places_.size()) places_.resize(look.number + 1);
    std::optional<StackId>& id = ids_[look.number];
    if (!id) {
      looks.StackOf(look.number, stack_);
      id = window.InternStack(stack_);
    }
    std::uint32_t& place = places_[look.number];
    if (place == 0) {
      sums_.push_back({.stack = *id});
      place = static_cast<std::uint32_t>(sums_.size());
    }
    Sum& sum = sums_[place - 1];
    ++sum.count;
    sum.time += look.time;
    last_ += look.time;
  }
  for (const OneLook& look : seen_) places_[look.number] = 0;
}

std::span<const Burst::Sum> Burst::Take() {
  length_ = std::min(length_ * 2, kLongest);
  taken_.swap(sums_);
  sums_.clear();
  return taken_;
}

void Burst::Drop() {
  length_ = std::max(length_ / 4, kShortest);
  sums_.clear();
}

}  // namespace agent
