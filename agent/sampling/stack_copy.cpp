// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/stack_copy.h"

#include <span>

namespace agent {
namespace {

// Of a thread not seen before, and at most.
constexpr std::uint64_t kFirstCopy = 64u << 10;
constexpr std::uint64_t kMaxCopy = 1u << 20;

}  // namespace

void StackGuess::Learn(const StackExtent& extent, bool was_cut) {
  is_steady_ = extent.end != 0 && extent.end == end_;
  if (extent.end != 0) {
    end_ = extent.end;
    if (extent.changed_stack) own_end_ = extent.end;
  } else if (extent.changed_stack) {
    own_end_ = end_;  // where it went to was not copied
  }
  copies_all_ = was_cut;
}

std::uint64_t StackGuess::SizeFrom(std::uint64_t start) const {
  if (is_steady_ && end_ > start && end_ - start <= kMaxCopy) return end_ - start;
  return copies_all_ ? kMaxCopy : kFirstCopy;
}

std::optional<std::uint64_t> StackGuess::OwnStackBeside(std::uint64_t start) const {
  const bool is_on_it = start <= own_end_ && own_end_ - start <= kMaxCopy;
  if (own_end_ <= kFirstCopy || is_on_it) return std::nullopt;
  return own_end_ - kFirstCopy;
}

StackCopier::StackCopier() : scratch_(kMaxCopy + kFirstCopy) {}

void StackCopier::Copy(ProcessMemory& memory, const StackGuess& guess, ThreadSnapshot& snapshot) {
  const auto copy = [&](std::uint64_t from, std::span<std::byte> to, std::size_t index) {
    snapshot.stacks[index].start = from;
    copied_[index] = memory.ReadSome(RemoteAddress(from), to).value_or(0);
  };
  copied_ = {};
  const std::span<std::byte> scratch(scratch_);
  const std::uint64_t start = snapshot.registers.sp() - ThreadSnapshot::kRedZone;
  copy(start, scratch.first(guess.SizeFrom(start)), 0);
  if (const auto own = guess.OwnStackBeside(start)) copy(*own, scratch.last(kFirstCopy), 1);
}

void StackCopier::Keep(ThreadSnapshot& snapshot) {
  const std::span<const std::byte> scratch(scratch_);
  const auto first = scratch.first(copied_[0]);
  snapshot.stacks[0].bytes.assign(first.begin(), first.end());
  // A spy that has copied a second stack knows which one it is.
  if (copied_[1] == 0 || !snapshot.stacks[1].bytes.empty()) return;
  const auto second = scratch.last(kFirstCopy).first(copied_[1]);
  snapshot.stacks[1].bytes.assign(second.begin(), second.end());
}

}  // namespace agent
