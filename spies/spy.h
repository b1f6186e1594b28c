// SPDX-License-Identifier: Apache-2.0
// What a runtime's spy is to the sampling loop. One folder per runtime implements it.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/process/target_process.h"
#include "agent/process/thread_snapshot.h"
#include "agent/profile/frame.h"

namespace agent {

/// What one look at a thread gave.
enum class StackOutcome {
  kStack,       ///< `stack` is the thread's true stack.
  kTruncated,   ///< The same, but cut at the spy's depth limit (the leaf side is kept).
  kIncomplete,  ///< True as far as it goes, but its callers are not known; it ends with a marker.
  kNoFrames,    ///< The thread runs no code of this runtime at the moment (or never did).
  kWithoutGil,  ///< Only threads that hold the interpreter's lock were asked for.
  kTorn,  ///< The stack changed while it was read, in every try, or was met in the midst of a call.
  kUnreadable,  ///< Memory did not have the form that it should have.
  kNotReady,    ///< What is needed to read the snapshot is being prepared: keep it, ask again.
  kGone,        ///< The process has ended or has replaced its image.
};

/// What a walk tells of how much of a thread's stack the next snapshot should hold.
struct StackExtent {
  std::uint64_t end = 0;       ///< The thread's stack was whole, and ended here; 0: it was cut.
  bool changed_stack = false;  ///< The thread was on another stack than its own.
};

/// Looks at one running thread, one behind another and a few microseconds each: for rates at which
/// a ReadStack and a NameFrames for each sample are too dear. They recognise what those two have
/// found before, and nothing else. Sampling thread only; owned by the spy.
class QuickLooks {
 public:
  virtual ~QuickLooks() = default;
  /// One look: the number of the stack, for StackOf. Nothing when ReadStack must tell; then the
  /// burst is over.
  virtual std::optional<std::uint32_t> Look() = 0;
  /// Ends the burst. Returns how many of its looks, from the first on, are beyond doubt. Of the
  /// others it cannot be told (any more) what ran.
  virtual std::size_t End() = 0;
  /// Frames by number, leaf first. Numbers mean the same from burst to burst, as long as
  /// generation() is the same.
  virtual void StackOf(std::uint32_t number, Stack& stack) const = 0;
  [[nodiscard]] virtual std::uint64_t generation() const = 0;
};

/// How a stack is read.
enum class ReadMode {
  kRunningOnce,  ///< Of a thread that runs: where it changes meanwhile, that is told.
  kRunning,      ///< The same, but then it is read again, a few times.
  kStill,        ///< Of a thread that stands still until ReadStack has returned.
};

/// One runtime in one process. Sampling thread only. Only looks: the sampling loop owns every stop.
class Spy {
 public:
  virtual ~Spy() = default;

  /// The runtime and its version: "CPython 3.12.1".
  [[nodiscard]] virtual std::string_view Runtime() const = 0;

  /// Reads the stack of one thread, for NameFrames: a bounded number of memory reads and nothing
  /// else.
  virtual StackOutcome ReadStack(InnerTid tid, ReadMode mode) = 0;
  /// Whether ReadStack is for stopped threads, or such as do not run, only.
  [[nodiscard]] virtual bool NeedsStop() const { return false; }
  /// Before a stop for ReadStack: does what can be done while the thread runs. False when no stop
  /// is needed, for the thread runs no code of this runtime.
  virtual bool PrepareStop(InnerTid /*tid*/) { return true; }
  /// Names the frames that the last ReadStack (kStack or kTruncated) found: leaf first. Called
  /// after the thread was let go; where that was too late (kUnreadable, `stack` is then empty: code
  /// was freed in between, or is new and the thread ran) once more with the thread stopped.
  virtual StackOutcome NameFrames(Stack& stack) = 0;
  /// What the runtime calls a thread whose stack was read, UTF-8; nothing where it has no name for
  /// it, or not yet. Called for threads that run, now and then; makes a bounded number of reads.
  virtual std::optional<std::string> ThreadName(InnerTid /*tid*/, MonotonicTime /*now*/) {
    return std::nullopt;
  }
  /// What a thread waits for that sleeps on the futex at `address`, as a frame: a lock of the
  /// runtime's own. Null where that is not known.
  virtual const Function* WaitAt(RemoteAddress /*futex*/) { return nullptr; }
  /// Right after ReadStack and NameFrames gave kStack and `stack` for this thread: begins a burst
  /// of looks at it. Until its End other threads may be read, and have bursts, as well. Null: not
  /// of this thread now, or not by this spy.
  virtual QuickLooks* BeginBurst(InnerTid /*tid*/, const Stack& /*stack*/) { return nullptr; }

  /// Whether this spy reads snapshots of stopped threads, by ReadSnapshot, instead of the live
  /// process.
  [[nodiscard]] virtual bool WantsSnapshots() const { return false; }
  /// Adds to a snapshot, which has registers and stack already, what else ReadSnapshot will need.
  /// Called with the thread stopped: makes a bounded number of memory reads and nothing else.
  virtual void CopyMore(InnerTid /*tid*/, ThreadSnapshot& /*snapshot*/) {}
  /// The stack in a snapshot, with frames that the symbolizer will name. The thread runs on
  /// meanwhile.
  virtual StackOutcome ReadSnapshot(const ThreadSnapshot& /*snapshot*/, MonotonicTime /*now*/,
                                    StackExtent& /*extent*/, Stack& /*stack*/) {
    return StackOutcome::kNoFrames;
  }
};

/// Why a spy does not take a process.
struct Refusal {
  enum class Kind {
    kNotMine,      ///< Another runtime, or none.
    kNotYet,       ///< Might become mine: the runtime is mapped but has not started; ask again.
    kUnsupported,  ///< Mine, but this version or form cannot be read: `reason` says why and what to
                   ///< do. Empty: the factory says it itself, once it knows.
    kNotPermitted,  ///< The kernel does not let us look into the process: `reason` names the call.
    kGone,          ///< The process ended meanwhile.
  };
  Kind kind = Kind::kNotMine;
  std::string reason;
};

/// A runtime that spies exist for. Made once per run; keeps what processes of the same image share.
class SpyFactory {
 public:
  virtual ~SpyFactory() = default;
  [[nodiscard]] virtual std::string_view Name() const = 0;  ///< "python"
  /// Takes what nobody else takes: the others are asked again now and then.
  [[nodiscard]] virtual bool IsFallback() const { return false; }
  /// `process` outlives the spy.
  virtual std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) = 0;
};

}  // namespace agent
