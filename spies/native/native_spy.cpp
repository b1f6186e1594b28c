// SPDX-License-Identifier: Apache-2.0
#include "spies/native/native_spy.h"

#include <algorithm>

#include "spies/unwind/unwinder.h"

namespace agent::native {
namespace {

class NativeSpy final : public Spy {
 public:
  NativeSpy(TargetProcess& process, unwind::CodeFiles& files, bool runs_go, const Function* cut,
            const Function* incomplete)
      : unwinder_(process, files, runs_go), cut_(cut), incomplete_(incomplete) {}

  [[nodiscard]] std::string_view Runtime() const override { return "native code"; }
  [[nodiscard]] bool WantsSnapshots() const override { return true; }
  StackOutcome ReadStack(InnerTid) override { return StackOutcome::kNoFrames; }
  StackOutcome NameFrames(Stack&) override { return StackOutcome::kStack; }

  void CopyMore(ThreadSnapshot& snapshot) override { unwinder_.CopyMore(snapshot); }

  StackOutcome ReadSnapshot(const ThreadSnapshot& snapshot, MonotonicTime now, StackExtent& extent,
                            Stack& stack) override {
    stack.clear();
    const unwind::WalkResult walk = unwinder_.Walk(snapshot, now, stack);
    extent = {.end = walk.stack_end, .changed_stack = walk.changed_stack};
    switch (walk.end) {
      case unwind::WalkEnd::kRoot:
        return StackOutcome::kStack;
      case unwind::WalkEnd::kNotReady:
        return StackOutcome::kNotReady;
      case unwind::WalkEnd::kTruncated:
      case unwind::WalkEnd::kTooDeep:
        stack.push_back({.function = cut_});
        return StackOutcome::kTruncated;
      case unwind::WalkEnd::kLost:
      case unwind::WalkEnd::kComplex:
        stack.push_back({.function = incomplete_});
        return StackOutcome::kIncomplete;
    }
    return StackOutcome::kUnreadable;
  }

 private:
  unwind::Unwinder unwinder_;
  const Function* cut_;
  const Function* incomplete_;
};

}  // namespace

NativeSpyFactory::NativeSpyFactory(unwind::CodeFiles& files, FunctionTable& functions)
    : files_(files),
      cut_(functions.Marker("[stack cut]")),
      incomplete_(functions.Marker("[callers unknown]")) {}

std::expected<std::unique_ptr<Spy>, Refusal> NativeSpyFactory::Attach(TargetProcess& process) {
  const Result<std::vector<Mapping>> mappings = process.ReadMappings();
  if (!mappings) {
    const bool is_gone = mappings.error().code == Errc::kGone;
    return std::unexpected(Refusal{is_gone ? Refusal::Kind::kGone : Refusal::Kind::kNotPermitted,
                                   mappings.error().Message()});
  }
  const bool runs_go = std::ranges::any_of(*mappings, [&](const Mapping& mapping) {
    if (!mapping.executable || mapping.inode == 0) return false;
    const Result<unwind::CodeFile*> file = files_.OfMapping(process, mapping);
    return file && (*file)->is_go();
  });
  return std::make_unique<NativeSpy>(process, files_, runs_go, cut_, incomplete_);
}

}  // namespace agent::native
