// SPDX-License-Identifier: Apache-2.0
// What tables cannot express: libunwind, over the same snapshot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "agent/process/memory.h"
#include "agent/process/thread_snapshot.h"
#include "spies/unwind/address_space.h"

namespace agent::unwind {

/// One process. Sampling thread only; takes some 10 to 100 us a frame, so not while a thread is
/// stopped. Reads what it needs of the code's files from the process's memory.
class SlowUnwinder {
 public:
  /// Both outlive it.
  SlowUnwinder(ProcessMemory& memory, const AddressSpace& space);
  ~SlowUnwinder();
  SlowUnwinder(const SlowUnwinder&) = delete;
  SlowUnwinder& operator=(const SlowUnwinder&) = delete;

  /// The registers of the frame that is `count` frames above the leaf; nothing where libunwind does
  /// not get that far or, if `sp` is given, comes there from another stack pointer: it has gone
  /// another way then.
  std::optional<Registers> Step(const ThreadSnapshot& snapshot, std::size_t count,
                                std::optional<std::uint64_t> sp = std::nullopt);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace agent::unwind
