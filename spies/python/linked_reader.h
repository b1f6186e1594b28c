// SPDX-License-Identifier: Apache-2.0
// Reads the frames of one Python thread before 3.11, where they are objects on the heap, each of
// which has the address of its caller's.
//
// Frames come and go at every call, so the thread has to stand still. To keep that short, all
// frames that were part of its last stacks are read in one call: CPython keeps a function's frame
// for its next call, and most callers stay. Frames that were not known are read along with the page
// that they are in, where others often are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/layout.h"
#include "spies/python/stack_reader.h"
#include "spies/python/thread_states.h"

namespace agent::python {

class LinkedReader {
 public:
  LinkedReader(ProcessMemory& memory, const Layout& layout);

  /// Appends the frames of `state`, leaf first. The thread stands still. On anything but kStack and
  /// kTruncated `frames` is as before. At most StackReader::kMaxFrames frames, kMaxReads + 4 calls.
  ReadOutcome Read(ThreadState& state, InnerTid tid, std::vector<RawFrame>& frames);
  /// Learns from the stack that was read last, for the next one. The thread may run.
  void Learn(ThreadState& state);

  /// Pages read for frames that were not known; past it a stack is truncated.
  static constexpr std::size_t kMaxReads = 512;

 private:
  enum class Taken { kTaken, kMoved, kGone };
  Taken TakeKnown(ThreadState& state, InnerTid tid);
  void SetRegions(ThreadState& state);
  const std::byte* Find(const ThreadState& state, RemoteAddress frame);
  const std::byte* FindInPages(RemoteAddress frame);
  RawFrame Decode(const std::byte* frame) const;

  struct Page {
    RemoteAddress start;
    std::size_t size = 0;
    std::array<std::byte, 8192> bytes;  // a frame may reach into the next page
  };

  ProcessMemory& memory_;
  const Layout& layout_;
  std::uint32_t part_start_;  // the part of a frame that is read
  std::uint32_t part_size_;

  // Of the read under way; members so that a stopped thread need not wait for memory.
  RemoteAddress current_;
  std::vector<ReadRange> ranges_;
  std::vector<std::byte> parts_;  // of the regions of known frames
  std::vector<Page> pages_;       // the last ones read
  std::size_t reads_ = 0;
  std::vector<RemoteAddress> chain_;  // frames of the last stack
};

}  // namespace agent::python
