// SPDX-License-Identifier: Apache-2.0
// What a runtime knows of code that it has compiled itself, and that no file describes.
#pragma once

#include <cstdint>
#include <memory>

#include "agent/base/types.h"
#include "agent/process/thread_snapshot.h"
#include "agent/profile/frame.h"

namespace agent::unwind {

enum class ManagedStep : std::uint8_t {
  kNotMine,    ///< Not code that the runtime counts as its own.
  kStub,       ///< Of the runtime's making, between two methods: pushes nothing, has no frame.
  kCaller,     ///< The registers are the caller's now.
  kTruncated,  ///< The copy of the stack ends here.
  kLost,       ///< The runtime's code, but how to go on cannot be told.
};

/// Sampling thread only.
class ManagedCode {
 public:
  virtual ~ManagedCode() = default;
  /// One step from the frame that `registers` stand in to its caller. Adds the frame to `frames`;
  /// none for what the runtime puts between two methods. `is_exact`: the pc is an instruction that
  /// runs, not a return address. `known`: which registers are, a bit for each DWARF number.
  virtual ManagedStep Step(const ThreadSnapshot& snapshot, bool is_exact, Registers& registers,
                           std::uint32_t& known, Stack& frames) = 0;
  /// What Mark will want to know. Called while the thread stands still: makes a bounded number of
  /// memory reads.
  virtual std::shared_ptr<SnapshotPart> Look(InnerTid /*tid*/) { return nullptr; }
  /// Adds frames to a whole stack, leaf first, for what the runtime does in it for itself.
  virtual void Mark(const ThreadSnapshot& /*snapshot*/, Stack& /*stack*/) {}
};

}  // namespace agent::unwind
