// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/snapshot_spy.h"

#include <utility>

namespace agent::unwind {

StackOutcome OutcomeOf(WalkEnd end) {
  switch (end) {
    case WalkEnd::kRoot:
      return StackOutcome::kStack;
    case WalkEnd::kNotReady:
      return StackOutcome::kNotReady;
    case WalkEnd::kTruncated:
    case WalkEnd::kTooDeep:
      return StackOutcome::kTruncated;
    case WalkEnd::kLost:
    case WalkEnd::kComplex:
      return StackOutcome::kIncomplete;
  }
  return StackOutcome::kUnreadable;
}

void Markers::AddTo(Stack& stack, StackOutcome outcome) const {
  if (outcome == StackOutcome::kTruncated) stack.push_back({.function = cut});
  if (outcome == StackOutcome::kIncomplete) stack.push_back({.function = incomplete});
}

SnapshotSpy::SnapshotSpy(std::string runtime, TargetProcess& process, CodeFiles& files,
                         const Markers& markers, bool runs_go, std::unique_ptr<ManagedCode> managed)
    : runtime_(std::move(runtime)),
      markers_(markers),
      managed_(std::move(managed)),
      unwinder_(process, files, runs_go, managed_.get()) {}

void SnapshotSpy::CopyMore(InnerTid tid, ThreadSnapshot& snapshot) {
  unwinder_.CopyMore(snapshot);
  if (managed_ != nullptr) snapshot.part = managed_->Look(tid);
}

StackOutcome SnapshotSpy::ReadSnapshot(const ThreadSnapshot& snapshot, MonotonicTime now,
                                       StackExtent& extent, Stack& stack) {
  stack.clear();
  const WalkResult walk = unwinder_.Walk(snapshot, now, stack);
  extent = {.end = walk.stack_end, .changed_stack = walk.changed_stack};
  const StackOutcome outcome = OutcomeOf(walk.end);
  if (managed_ != nullptr) managed_->Mark(snapshot, stack);
  markers_.AddTo(stack, outcome);
  return outcome;
}

}  // namespace agent::unwind
