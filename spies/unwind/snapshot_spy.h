// SPDX-License-Identifier: Apache-2.0
// A spy that takes snapshots of stopped threads and walks their stacks afterwards.
#pragma once

#include <memory>
#include <string>

#include "spies/spy.h"
#include "spies/unwind/code_files.h"
#include "spies/unwind/managed_code.h"
#include "spies/unwind/unwinder.h"

namespace agent::unwind {

/// What the end of a walk means for its stack.
[[nodiscard]] StackOutcome OutcomeOf(WalkEnd end);

/// The frames that tell it.
struct Markers {
  const Function* cut;         ///< "[stack cut]"
  const Function* incomplete;  ///< "[callers unknown]"
  explicit Markers(FunctionTable& functions)
      : cut(functions.Marker("[stack cut]")), incomplete(functions.Marker("[callers unknown]")) {}
  /// Ends a stack that is not whole with the one for its outcome.
  void AddTo(Stack& stack, StackOutcome outcome) const;
};

class SnapshotSpy final : public Spy {
 public:
  /// `process` and `files` outlive it. `runs_go` as Unwinder has it. `managed`: may be null.
  SnapshotSpy(std::string runtime, TargetProcess& process, CodeFiles& files, const Markers& markers,
              bool runs_go, std::unique_ptr<ManagedCode> managed);

  [[nodiscard]] std::string_view Runtime() const override { return runtime_; }
  [[nodiscard]] bool WantsSnapshots() const override { return true; }
  StackOutcome ReadStack(InnerTid, ReadMode) override { return StackOutcome::kNoFrames; }
  StackOutcome NameFrames(Stack&) override { return StackOutcome::kStack; }
  void CopyMore(InnerTid tid, ThreadSnapshot& snapshot) override;
  StackOutcome ReadSnapshot(const ThreadSnapshot& snapshot, MonotonicTime now, StackExtent& extent,
                            Stack& stack) override;

 private:
  std::string runtime_;
  Markers markers_;
  std::unique_ptr<ManagedCode> managed_;
  Unwinder unwinder_;
};

}  // namespace agent::unwind
