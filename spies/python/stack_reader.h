// SPDX-License-Identifier: Apache-2.0
// Reads the frames of one Python thread, running or stopped, so that a torn stack is never taken
// for a true one.
//
// One process_vm_readv takes the current frame's address, the memory that holds the frames, the
// address again, that memory again, and the address once more. The stack is accepted when all three
// addresses are equal and both copies give the same chain of (frame, code), with callers at the
// same instruction, up to a proper root: a tear would have had to happen twice in the same way.
// (Without the look in the middle: what earlier calls left above a frame looks like a stack, and
// the current frame may come back to that height within a microsecond.) Which memory holds the
// frames is predicted from the read before and learned anew where the chain leaves it.
//
// Of a thread that stands still one copy is taken.
//
// What the interpreter does (Activity) is read between the copies: that was so while the stack was
// this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/jitter.h"
#include "spies/python/layout.h"
#include "spies/python/raw_frame.h"
#include "spies/python/thread_states.h"
#include "spies/spy.h"

namespace agent::python {

enum class ReadOutcome {
  kStack,      ///< Complete; may be empty.
  kTruncated,  ///< The leaf side; the rest is past the limit.
  kTorn,       ///< Changed under every try.
  kMoved,      ///< The state is another thread's now, or none any more.
  kUnreadable,
  kGone,
};

class StackReader {
 public:
  /// Python's own default limit is 1,000 frames.
  static constexpr std::size_t kMaxFrames = 2000;

  StackReader(ProcessMemory& memory, const Layout& layout);

  /// Appends the frames of `state`, leaf first. On anything but kStack and kTruncated `frames` is
  /// as before.
  ReadOutcome Read(ThreadState& state, InnerTid tid, ReadMode mode, std::vector<RawFrame>& frames);
  /// Where the last stack that Read gave (kStack, not empty) began: the frame without a caller.
  [[nodiscard]] RemoteAddress root() const { return root_; }

 private:
  enum class Walk { kComplete, kTruncated, kTorn, kLeftRegions };
  struct Attempt {
    Walk walk = Walk::kTorn;
    RemoteAddress stop;  ///< kLeftRegions: the frame that no region holds.
    std::optional<std::size_t> gc_at = std::nullopt;  ///< ThreadState::gc_at
    std::size_t entries = 0;                          ///< ThreadState::entries
  };
  enum class Snapshot {
    kTaken,
    kTorn,
    kElsewhere,  ///< Where to look was learned anew.
    kMoved,
    kUnreadable,
    kGone
  };

  Snapshot TakeSnapshot(ThreadState& state, InnerTid tid, std::size_t copies);
  Attempt WalkBoth(const ThreadState& state, std::vector<RawFrame>& frames);
  bool LearnRegions(ThreadState& state, RemoteAddress from);
  void SetRegions(ThreadState& state);
  const std::byte* FindFrame(const ThreadState& state, RemoteAddress frame) const;
  bool IsRoot(const std::byte* frame) const;

  ProcessMemory& memory_;
  const Layout& layout_;
  std::uint32_t thread_read_start_;  // the part of PyThreadState that is read
  std::uint32_t thread_read_size_;
  Jitter jitter_;

  // Of the attempt under way; members so that the memory is reused.
  RemoteAddress current_;
  RemoteAddress root_;
  std::vector<ReadRange> ranges_;
  std::vector<std::byte> copies_;  // one behind the other
  std::size_t last_copy_ = 0;      // where it begins
  std::size_t copy_size_ = 0;
  std::vector<std::byte> thread_bytes_;
  std::vector<std::uint64_t> chain_;  // frame addresses that the walk has met
};

}  // namespace agent::python
