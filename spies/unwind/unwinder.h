// SPDX-License-Identifier: Apache-2.0
// From a thread's snapshot to its frames.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent/base/clock.h"
#include "agent/process/target_process.h"
#include "agent/process/thread_snapshot.h"
#include "agent/profile/frame.h"
#include "spies/unwind/address_space.h"
#include "spies/unwind/code_files.h"
#include "spies/unwind/managed_code.h"
#include "spies/unwind/slow_unwinder.h"
#include "spies/unwind/unwind_rule.h"

namespace agent::unwind {

/// Why a walk ended.
enum class WalkEnd : std::uint8_t {
  kRoot,       ///< At the thread's first function.
  kTruncated,  ///< The copy of the stack ends here; the rest was not copied.
  kTooDeep,    ///< At kMaxFrames.
  kLost,       ///< Nothing tells how to go on, or what it tells makes no sense.
  kComplex,    ///< A rule that is not for tables, nor for libunwind.
  kNotReady,   ///< A table is still being compiled: walk again later. No frames.
};

struct WalkResult {
  WalkEnd end = WalkEnd::kLost;
  /// The highest stack address of the walk (end of the root frame), where `end` is kRoot.
  std::uint64_t stack_end = 0;
  /// The walk went from one stack to another (a signal handler's).
  bool changed_stack = false;
};

/// One process. Sampling thread only; the thread in question runs on meanwhile.
class Unwinder {
 public:
  static constexpr std::size_t kMaxFrames = 2048;

  /// Both outlive it. `runs_go`: the program is Go's, so goroutines are copied from the first
  /// snapshot on. Without it they are from where the walks come upon Go code. `managed` is asked
  /// about code without a file; may be null.
  Unwinder(TargetProcess& process, CodeFiles& files, bool runs_go = false,
           ManagedCode* managed = nullptr);

  /// Copies what a walk will need beside the stack that the thread is on. Called while it stands
  /// still: makes a bounded number of memory reads.
  void CopyMore(ThreadSnapshot& snapshot);
  /// Adds the frames, leaf first, to `frames`.
  WalkResult Walk(const ThreadSnapshot& snapshot, MonotonicTime now, Stack& frames);

 private:
  enum class Check : std::uint8_t { kUnknown, kYes, kNo };
  // What is known of one address of code.
  struct Place {
    std::uint64_t address = 0;
    std::uint32_t generation = 0;
    Check signal_return = Check::kUnknown;  // what it is
    Check after_call = Check::kUnknown;     // what precedes it
    bool ready = false;
    bool came_later = false;
    bool is_in_file = false;
    bool is_scanned = false;   // the rule is ScanCode's
    bool is_dotnet = false;    // CodeFile::IsDotnet
    std::uint64_t region = 0;  // its start
    const Module* module = nullptr;
    std::uint64_t bias = 0;
    UnwindRule rule;
  };
  struct Cursor {
    Registers registers;
    std::uint32_t known = ~0u;  // which registers, by number
    bool is_exact = true;       // the pc is the instruction that runs, not a return address
    std::size_t slow_steps = 0;
  };
  enum class Step : std::uint8_t { kCaller, kRoot, kTruncated, kLost, kComplex, kNotReady };

  WalkResult WalkOnce(const ThreadSnapshot& snapshot, MonotonicTime now, Stack& frames);
  Place* Lookup(std::uint64_t address, MonotonicTime now);
  bool Fill(std::uint64_t address, Place& place);
  Step ByCode(const ThreadSnapshot& snapshot, MonotonicTime now, std::size_t number, Cursor& cursor,
              WalkResult& result, Stack& frames);
  std::optional<Step> ByManaged(const ThreadSnapshot& snapshot, MonotonicTime now, Cursor& cursor,
                                Stack& frames);
  Result<bool> TryEpilog(const ThreadSnapshot& snapshot, Cursor& cursor);
  void UndoHijack(const ThreadSnapshot& snapshot, MonotonicTime now, Cursor& cursor);
  Step ByRule(const ThreadSnapshot& snapshot, const UnwindRule& rule, Cursor& cursor);
  Step BySlowPath(const ThreadSnapshot& snapshot, std::size_t frame, Cursor& cursor);
  Step BySignalFrame(const ThreadSnapshot& snapshot, Cursor& cursor);
  Step WithoutRule(const ThreadSnapshot& snapshot, MonotonicTime now, bool is_in_file,
                   Cursor& cursor);
  bool IsThreadStart(const ThreadSnapshot& snapshot);
  bool IsSignalReturnAt(Place& place);
  bool IsAfterCall(std::uint64_t address, MonotonicTime now);
  bool LaterOnesAreThere() const;

  static constexpr std::size_t kPlaces = 2048;

  TargetProcess& process_;
  AddressSpace space_;
  bool runs_go_;
  ManagedCode* managed_;
  std::unique_ptr<SlowUnwinder> slow_;  // made when it is needed first
  std::unique_ptr<std::array<Place, kPlaces>> places_;
  // Addresses in the walk under way, one of each region that came later.
  std::vector<std::uint64_t> later_;
};

}  // namespace agent::unwind
