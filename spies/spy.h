// SPDX-License-Identifier: Apache-2.0
// What a runtime's spy is to the sampling loop. One folder per runtime implements it.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/types.h"
#include "agent/process/target_process.h"
#include "agent/profile/frame.h"

namespace agent {

/// What one look at a thread gave.
enum class StackOutcome {
  kStack,      ///< `stack` is the thread's true stack.
  kTruncated,  ///< The same, but cut at the spy's depth limit (the leaf side is kept).
  kNoFrames,   ///< The thread runs no code of this runtime at the moment (or never did).
  kTorn,  ///< The stack changed while it was read, in every try. Stop the thread and call again.
  kUnreadable,  ///< Memory did not have the form that it should have.
  kGone,        ///< The process has ended or has replaced its image.
};

/// One runtime in one process. Sampling thread only. Only looks: the sampling loop owns every stop.
class Spy {
 public:
  virtual ~Spy() = default;

  /// The runtime and its version: "CPython 3.12.1".
  [[nodiscard]] virtual std::string_view Runtime() const = 0;

  /// Reads the stack of one thread into `stack` (emptied first). Works on running and on stopped
  /// threads. May be called with the thread stopped: then it makes a bounded number of memory reads
  /// and nothing else, but for the naming of code seen for the first time, which it does in
  /// NameFrames.
  virtual StackOutcome ReadStack(InnerTid tid) = 0;
  /// Names the frames that the last ReadStack (kStack or kTruncated) found: leaf first. Called
  /// after the thread was let go. kUnreadable when code objects could not be read (freed in
  /// between); `stack` is then empty.
  virtual StackOutcome NameFrames(Stack& stack) = 0;
};

/// Why a spy does not take a process.
struct Refusal {
  enum class Kind {
    kNotMine,      ///< Another runtime, or none.
    kNotYet,       ///< Might become mine: the runtime is mapped but has not started; ask again.
    kUnsupported,  ///< Mine, but this version or form cannot be read: `reason` says why and what to
                   ///< do.
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
  /// `process` outlives the spy.
  virtual std::expected<std::unique_ptr<Spy>, Refusal> Attach(TargetProcess& process) = 0;
};

}  // namespace agent
