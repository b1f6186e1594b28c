// SPDX-License-Identifier: Apache-2.0
#include "spies/python/python_spy.h"

#include <fmt/format.h>

#include "agent/base/log.h"
#include "spies/python/code_cache.h"
#include "spies/python/layout.h"
#include "spies/python/stack_reader.h"
#include "spies/python/thread_states.h"

namespace agent::python {
namespace {

class PythonSpy final : public Spy {
 public:
  PythonSpy(ProcessMemory& memory, const RuntimeLocation& location, Version version,
            const Layout& layout, FunctionTable& functions)
      : layout_(layout),
        runtime_(
            fmt::format("CPython {}.{}.{}", version.major(), version.minor(), version.micro())),
        threads_(memory, layout_, location.runtime),
        reader_(memory, layout_),
        codes_(memory, layout_, location.code_type, functions) {}

  [[nodiscard]] std::string_view Runtime() const override { return runtime_; }
  Result<void> Start() { return threads_.Refresh(); }

  StackOutcome ReadStack(InnerTid tid) override {
    StackOutcome outcome = TryReadStack(tid);
    if (moved_) {
      // The thread state went to another thread: look for the one that this thread has now, once.
      static_cast<void>(threads_.Refresh());
      outcome = TryReadStack(tid);
    }
    return outcome;
  }

  StackOutcome NameFrames(Stack& stack) override {
    const Result<void> named = codes_.Name(frames_, stack);
    if (named) return StackOutcome::kStack;
    stack.clear();
    return named.error().code == Errc::kGone ? StackOutcome::kGone : StackOutcome::kUnreadable;
  }

 private:
  StackOutcome TryReadStack(InnerTid tid) {
    frames_.clear();
    moved_ = false;
    std::vector<ThreadState>* states = threads_.Find(tid);
    if (states == nullptr) return StackOutcome::kNoFrames;
    bool truncated = false;
    for (ThreadState& state : *states) {
      switch (reader_.Read(state, tid, frames_)) {
        case ReadOutcome::kStack:
          break;
        case ReadOutcome::kTruncated:
          truncated = true;
          break;
        case ReadOutcome::kTorn:
          return StackOutcome::kTorn;
        case ReadOutcome::kMoved:
          moved_ = true;
          return StackOutcome::kNoFrames;
        case ReadOutcome::kUnreadable:
          moved_ = true;
          return StackOutcome::kUnreadable;
        case ReadOutcome::kGone:
          return StackOutcome::kGone;
      }
    }
    if (frames_.empty()) return StackOutcome::kNoFrames;
    return truncated ? StackOutcome::kTruncated : StackOutcome::kStack;
  }

  const Layout layout_;
  std::string runtime_;
  ThreadStates threads_;
  StackReader reader_;
  CodeCache codes_;
  std::vector<RawFrame> frames_;  // of the last ReadStack
  bool moved_ = false;
};

std::unexpected<Refusal> Refuse(Refusal::Kind kind, std::string reason = {}) {
  return std::unexpected(Refusal{kind, std::move(reason)});
}

std::unexpected<Refusal> RefuseFor(const Error& error) {
  switch (error.code) {
    case Errc::kGone:
      return Refuse(Refusal::Kind::kGone);
    case Errc::kNotPermitted:
      return Refuse(Refusal::Kind::kNotPermitted, error.Message());
    case Errc::kUnreadable:
    case Errc::kTimeout:
    case Errc::kMalformed:
    case Errc::kUnsupported:
    case Errc::kInvalid:
    case Errc::kLimit:
    case Errc::kSystem:
      break;
  }
  return Refuse(Refusal::Kind::kNotYet, error.Message());
}

// The version by the debug offsets (3.13 and later), else by Py_Version (3.11 and later).
std::expected<Version, Refusal> FindVersion(ProcessMemory& memory,
                                            const RuntimeLocation& location) {
  const Result<Version> own = ReadDebugOffsetsVersion(memory, location.runtime);
  if (own) return *own;
  if (own.error().code != Errc::kUnsupported) return RefuseFor(own.error());
  if (location.version.IsNull()) {
    return Refuse(Refusal::Kind::kUnsupported,
                  "this CPython does not tell its version (3.10 or older, or stripped); 3.11, 3.12 "
                  "and 3.13 are "
                  "supported");
  }
  const Result<std::uint32_t> hex = memory.ReadValue<std::uint32_t>(location.version);
  if (!hex) return RefuseFor(hex.error());
  return Version{*hex};
}

std::expected<Layout, Refusal> FindLayout(ProcessMemory& memory, const RuntimeLocation& location,
                                          Version version) {
  if (const Layout* table = TableLayout(version)) return *table;
  const Result<Layout> layout = ReadDebugOffsets(memory, location.runtime);
  if (layout) return *layout;
  return Refuse(
      Refusal::Kind::kUnsupported,
      fmt::format("CPython {}.{}.{} cannot be read: {}; 3.11, 3.12 and 3.13 are supported",
                  version.major(), version.minor(), version.micro(), layout.error().Message()));
}

}  // namespace

std::expected<std::unique_ptr<Spy>, Refusal> PythonSpyFactory::Attach(TargetProcess& process) {
  const Result<std::optional<RuntimeLocation>> location = locator_.Locate(process);
  if (!location) return RefuseFor(location.error());
  if (!*location) return Refuse(Refusal::Kind::kNotMine);
  ProcessMemory& memory = process.memory();
  const auto version = FindVersion(memory, **location);
  if (!version) return std::unexpected(version.error());
  const auto layout = FindLayout(memory, **location, *version);
  if (!layout) return std::unexpected(layout.error());
  auto spy = std::make_unique<PythonSpy>(memory, **location, *version, *layout, functions_);
  if (const Result<void> started = spy->Start(); !started) return RefuseFor(started.error());
  return spy;
}

}  // namespace agent::python
