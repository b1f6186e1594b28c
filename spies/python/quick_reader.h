// SPDX-License-Identifier: Apache-2.0
// Looks at one Python thread for half the price of StackReader and CodeCache, by trusting what they
// have found.
//
// One process_vm_readv takes the current frame's address, one copy of the memory that holds the
// frames, and the address again. That alone would show stacks that never were: what returned
// functions left above a frame still looks like a stack. So a look is accepted only if the very
// same chain, (code, instruction) of each caller included, has been accepted by StackReader before:
// a caller that is at this instruction is in this call. Only the leaf's instruction may be another,
// within its code. All else is for StackReader to read.
//
// That the code objects are still what they were is checked at the end of each burst, for all that
// it met; the collector's flag at every kCheckEvery-th look.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/process/memory.h"
#include "spies/python/code_cache.h"
#include "spies/python/jitter.h"
#include "spies/python/layout.h"
#include "spies/python/stack_reader.h"
#include "spies/python/thread_states.h"
#include "spies/spy.h"

namespace agent::python {

class QuickReader final : public QuickLooks {
 public:
  /// All outlive it.
  QuickReader(ProcessMemory& memory, const Layout& layout, CodeCache& codes)
      : memory_(memory), layout_(layout), codes_(codes), generation_(NextGeneration()) {}

  /// Begins a burst: `frames` are what StackReader has just read of `state`, down to `root`, and
  /// `named` what is shown of them, the leaf at least. False when there is nothing to be had.
  bool Begin(const ThreadState& state, std::span<const RawFrame> frames, RemoteAddress root,
             const Stack& named, MonotonicTime now);
  std::optional<std::uint32_t> Look() override;
  std::size_t End() override;
  void StackOf(std::uint32_t number, Stack& stack) const override;
  [[nodiscard]] std::uint64_t generation() const override { return generation_; }
  [[nodiscard]] MonotonicTime begun() const { return begun_; }
  [[nodiscard]] bool is_open() const { return is_open_; }

 private:
  // A code object that was seen to be what CodeCache knows.
  struct Code {
    RemoteAddress address;
    MonotonicTime confirmed;
    MonotonicTime used;
  };
  struct Chain {
    std::vector<RawFrame> frames;      // leaf first; the leaf's instruction means nothing
    std::vector<std::uint32_t> codes;  // indices in known_codes_, distinct
    Stack named;
    MonotonicTime burst;  // the one that it was last checked for
    bool is_usable = false;
  };
  struct Number {
    std::uint32_t chain;
    std::uint32_t line;  // of the leaf
  };

  static std::uint64_t NextGeneration();
  void SetRanges(const ThreadState& state);
  bool Walk(RemoteAddress current);
  const std::byte* FindFrame(RemoteAddress frame) const;
  std::optional<std::uint32_t> Recognise();
  std::optional<std::uint32_t> AddLook(std::uint32_t chain, std::uint64_t look_hash);
  std::uint32_t AddCode(RemoteAddress address);
  bool IsUsable(Chain& chain);
  void Forget();

  ProcessMemory& memory_;
  const Layout& layout_;
  CodeCache& codes_;
  Jitter jitter_;

  std::uint64_t generation_;
  std::vector<Code> known_codes_;
  std::unordered_map<RemoteAddress, std::uint32_t> code_index_;
  std::vector<Chain> chains_;
  std::size_t chain_frames_ = 0;                                 // of all
  std::unordered_map<std::uint64_t, std::uint32_t> by_callers_;  // hash of all but the leaf's
                                                                 // instruction → chain
  std::unordered_map<std::uint64_t, std::uint32_t> by_look_;     // hash of all → number
  std::vector<Number> numbers_;

  // Of the burst under way.
  bool is_open_ = false;
  MonotonicTime begun_;
  InnerTid native_id_{};
  RemoteAddress root_;
  std::vector<Region> regions_;
  std::vector<ReadRange> ranges_;
  std::vector<std::byte> bytes_;    // the thread's part, then the regions'
  std::size_t thread_size_ = 0;     // of that part
  std::uint64_t inner_before_ = 0;  // 3.11 and 3.12: what the _PyCFrame holds
  std::uint64_t current_after_ = 0;
  std::int32_t collecting_ = 0;
  bool tells_collecting_ = false;  // it is the last of ranges_
  std::size_t looks_ = 0;
  std::size_t sure_looks_ = 0;  // before which nothing was collected
  std::vector<RawFrame> frames_;
  std::uint64_t callers_hash_ = 0;
  std::uint64_t last_hash_ = 0;  // of the last look, and its number
  std::uint32_t last_number_ = 0;
  std::vector<RemoteAddress> to_confirm_;
};

}  // namespace agent::python
