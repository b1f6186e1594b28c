// SPDX-License-Identifier: Apache-2.0
// The kernel's id of a thread of which only the pthread_t is known: with CPython before 3.11, and
// after a fork that Python was not told of.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/types.h"
#include "agent/process/memory.h"

namespace agent::python {

/// A pthread_t is the address of libc's struct pthread, which holds the id; where, depends on the
/// libc and is learned from a thread whose id is known. Sampling thread only.
class PthreadIds {
 public:
  explicit PthreadIds(ProcessMemory& memory) : memory_(memory) {}

  [[nodiscard]] bool IsKnown() const { return offset_ != 0; }
  /// Where a thread's id is, an int.
  [[nodiscard]] RemoteAddress AddressOf(RemoteAddress pthread) const {
    return pthread.Plus(offset_);
  }
  /// Finds the place, if the thread with this id is one of `pthreads`. Where several places would
  /// do, none is taken.
  void Learn(std::span<const RemoteAddress> pthreads, InnerTid id);

 private:
  ProcessMemory& memory_;
  std::uint32_t offset_ = 0;
};

}  // namespace agent::python
