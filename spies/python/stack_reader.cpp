// SPDX-License-Identifier: Apache-2.0
#include "spies/python/stack_reader.h"

#include <algorithm>
#include <array>

namespace agent::python {
namespace {

constexpr int kMaxRefusals = 8;
constexpr int kMaxAttempts = 32;  // refusals, and tries in which the prediction was learned anew
// Every frame may have a marker of its entry from C beside it.
constexpr std::size_t kMaxChain = 2 * StackReader::kMaxFrames + 16;
constexpr std::size_t kMaxRegions = 480;        // twice, below IOV_MAX
constexpr std::size_t kMaxCopy = 1u << 20;      // bytes of one copy
constexpr std::uint64_t kMaxGap = 2048;         // frames nearer than this share a region
constexpr std::uint64_t kRoomForCallees = 768;  // read above the leaf: calls made meanwhile
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMaxAddress = std::uint64_t{1}
                                      << 57;  // past user space, 5-level paging included

}  // namespace

StackReader::StackReader(ProcessMemory& memory, const Layout& layout)
    : memory_(memory), layout_(layout) {
  thread_read_start_ = std::min(layout.thread.frame, layout.thread.native_thread_id);
  thread_read_size_ =
      std::max(layout.thread.frame, layout.thread.native_thread_id) + 8 - thread_read_start_;
  thread_bytes_.resize(thread_read_size_);
}

ReadOutcome StackReader::Read(ThreadState& state, InnerTid tid, ReadMode mode,
                              std::vector<RawFrame>& frames) {
  const int most_refusals = mode == ReadMode::kRunning ? kMaxRefusals : 1;
  const std::size_t before = frames.size();
  int refusals = 0;
  for (int attempt = 0; attempt < kMaxAttempts && refusals < most_refusals; ++attempt) {
    frames.resize(before);
    state.gc_at.reset();
    if (refusals > 0) jitter_.Wait();
    switch (TakeSnapshot(state, tid, mode == ReadMode::kStill ? 1 : 2)) {
      case Snapshot::kTaken:
        break;
      case Snapshot::kTorn:
        ++refusals;
        continue;
      case Snapshot::kElsewhere:
        continue;
      case Snapshot::kMoved:
        return ReadOutcome::kMoved;
      case Snapshot::kUnreadable:
        return ReadOutcome::kUnreadable;
      case Snapshot::kGone:
        return ReadOutcome::kGone;
    }
    if (current_.IsNull()) return ReadOutcome::kStack;
    const Attempt result = WalkBoth(state, frames);
    switch (result.walk) {
      case Walk::kComplete:
      case Walk::kTruncated:
        // A stack that has become much flatter: copy no more than is needed the next time.
        state.gc_at = result.gc_at;
        state.entries = result.entries;
        root_ = RemoteAddress(chain_.back());
        if (copy_size_ > 2 * kPage && chain_.size() * 512 < copy_size_) SetRegions(state);
        return result.walk == Walk::kComplete ? ReadOutcome::kStack : ReadOutcome::kTruncated;
      case Walk::kTorn:
        ++refusals;
        break;
      case Walk::kLeftRegions:
        if (!LearnRegions(state, result.stop)) ++refusals;
        break;
    }
  }
  frames.resize(before);
  return ReadOutcome::kTorn;
}

// Fills current_, copies_ and copy_size_ by one system call.
StackReader::Snapshot StackReader::TakeSnapshot(ThreadState& state, InnerTid tid,
                                                std::size_t copies) {
  copy_size_ = 0;
  for (const Region& region : state.regions) copy_size_ += region.size;
  copies_.resize(copies * copy_size_);
  last_copy_ = (copies - 1) * copy_size_;
  const RemoteAddress holder = state.address.Plus(layout_.thread.frame);
  const bool through_cframe = layout_.thread.frame_is_in_cframe;
  const RemoteAddress inner = state.cframe.Plus(layout_.thread.cframe_current_frame);
  std::uint64_t inner_before = 0;
  std::array<std::uint64_t, 2> inner_after{};  // each copy
  std::array<std::uint64_t, 2> holder_after{};
  std::uint64_t generation_before = 0;
  const bool tells_generation = !state.places.code_generation.IsNull();
  ranges_.clear();
  if (tells_generation) {
    ranges_.push_back({state.places.code_generation, BytesOf(generation_before)});
  }
  ranges_.push_back({state.address.Plus(thread_read_start_), thread_bytes_});
  const bool read_inner = through_cframe && !state.cframe.IsNull();
  if (read_inner) ranges_.push_back({inner, BytesOf(inner_before)});
  std::size_t offset = 0;
  for (std::size_t copy = 0; copy < copies; ++copy) {
    for (const Region& region : state.regions) {
      ranges_.push_back({region.start, std::span(copies_).subspan(offset, region.size)});
      offset += region.size;
    }
    if (read_inner) ranges_.push_back({inner, BytesOf(inner_after[copy])});
    ranges_.push_back({holder, BytesOf(holder_after[copy])});
    if (copy == 0) state.activity.AddRanges(state.places, ranges_);
  }
  if (tells_generation) {
    ranges_.push_back({state.places.code_generation, BytesOf(state.activity.code_generation)});
  }

  if (const Result<void> read = memory_.ReadRanges(ranges_); !read) {
    if (read.error().code == Errc::kGone) return Snapshot::kGone;
    if (state.regions.empty() && state.cframe.IsNull()) return Snapshot::kUnreadable;
    // Memory that held frames has been given back.
    state.regions.clear();
    state.cframe = RemoteAddress();
    return Snapshot::kElsewhere;
  }
  state.activity.Take(state.places);
  state.activity.code_was_freed = generation_before != state.activity.code_generation;
  const auto native_id = static_cast<std::int64_t>(
      LoadWord(thread_bytes_.data(), layout_.thread.native_thread_id - thread_read_start_));
  if (native_id != static_cast<std::int64_t>(tid)) return Snapshot::kMoved;
  const std::uint64_t holder_before =
      LoadWord(thread_bytes_.data(), layout_.thread.frame - thread_read_start_);
  if (through_cframe && holder_before != state.cframe.value()) {
    if (holder_before == 0) return Snapshot::kMoved;
    state.cframe = RemoteAddress(holder_before);
    return Snapshot::kElsewhere;
  }
  for (std::size_t copy = 0; copy < copies; ++copy) {
    if (holder_before != holder_after[copy]) return Snapshot::kTorn;
    if (inner_before != inner_after[copy]) return Snapshot::kTorn;
  }
  current_ = RemoteAddress(through_cframe ? inner_before : holder_before);
  return Snapshot::kTaken;
}

const std::byte* StackReader::FindFrame(const ThreadState& state, RemoteAddress frame) const {
  const auto offset = OffsetIn(state.regions, frame, layout_.frame.size);
  return offset ? copies_.data() + *offset : nullptr;
}

// Where Python was entered from C for the first time.
bool StackReader::IsRoot(const std::byte* frame) const {
  if (layout_.frame.is_entry != 0) return std::to_integer<int>(frame[layout_.frame.is_entry]) != 0;
  return std::to_integer<unsigned>(frame[layout_.frame.owner]) >= layout_.frame.first_shim_owner;
}

StackReader::Attempt StackReader::WalkBoth(const ThreadState& state,
                                           std::vector<RawFrame>& frames) {
  chain_.clear();
  const std::size_t before = frames.size();
  std::size_t entries = 0;
  std::optional<std::size_t> gc_at;
  const bool tells_frame = !state.places.gc_frame.IsNull();
  if (!tells_frame && state.activity.collecting == 1 && state.activity.HoldsGil(state.address)) {
    gc_at = before;
  }
  RemoteAddress address = current_;
  while (true) {
    if (chain_.size() >= kMaxChain || frames.size() - before >= kMaxFrames) {
      return {Walk::kTruncated, {}, gc_at, entries};
    }
    const std::byte* first = FindFrame(state, address);
    if (first == nullptr) {
      return {state.regions.size() >= kMaxRegions || copy_size_ >= kMaxCopy ? Walk::kTruncated
                                                                            : Walk::kLeftRegions,
              address, gc_at, entries};
    }
    const std::byte* second = first + last_copy_;
    const std::uint64_t previous = LoadWord(second, layout_.frame.previous);
    const auto owner = std::to_integer<unsigned>(second[layout_.frame.owner]);
    if (LoadWord(second, layout_.frame.executable) != LoadWord(first, layout_.frame.executable) ||
        previous != LoadWord(first, layout_.frame.previous) ||
        owner != std::to_integer<unsigned>(first[layout_.frame.owner])) {
      return {Walk::kTorn, {}};
    }
    if (LoadWord(second, layout_.frame.instruction) != LoadWord(first, layout_.frame.instruction)) {
      if (!chain_.empty()) return {Walk::kTorn, {}};  // a caller stands still
      gc_at.reset();                                  // and so does who collects
    }
    if (tells_frame && state.activity.collecting == 1 &&
        address.value() == state.activity.gc_frame) {
      gc_at = frames.size();
    }
    chain_.push_back(address.value());
    if (owner < layout_.frame.first_shim_owner) {
      frames.push_back(DecodeFrame(second, layout_.frame));
      frames.back().address = address;
      // Owner 0: on the thread's data stack, which grows upwards within a page.
      if (owner == 0 && previous / kPage == address.value() / kPage &&
          previous >= address.value()) {
        return {Walk::kTorn, {}};
      }
    }
    if (IsRoot(second)) {
      ++entries;
      if (frames.size() > before) frames.back().is_entry = true;
    }
    if (previous == 0) {
      return {IsRoot(second) ? Walk::kComplete : Walk::kTorn, {}, gc_at, entries};
    }
    address = RemoteAddress(previous);
  }
}

// Follows the chain from where no region holds it, a page at a time and without any consistency:
// all it is good for is to tell where the next attempt should look. False when there was nothing to
// learn.
bool StackReader::LearnRegions(ThreadState& state, RemoteAddress from) {
  std::array<std::byte, kPage> page;  // NOLINT: read before use
  std::uint64_t address = from.value();
  std::uint64_t page_start = 0;
  std::size_t page_size = 0;
  const std::size_t before = chain_.size();
  while (address != 0 && chain_.size() < kMaxChain) {
    if (address % 8 != 0 || address > kMaxAddress) break;
    if (address < page_start || address + layout_.frame.size > page_start + page_size) {
      page_start = address;
      const std::uint64_t rest = kPage - address % kPage;
      page_size = std::max<std::uint64_t>(rest, layout_.frame.size);
      if (!memory_.Read(RemoteAddress(address), std::span(page).first(page_size))) break;
    }
    chain_.push_back(address);
    const std::uint64_t previous =
        LoadWord(page.data() + (address - page_start), layout_.frame.previous);
    // Callers lie below on the data stack: take the page from its start the next time.
    if (previous < page_start && previous / kPage == page_start / kPage) {
      const std::uint64_t start = page_start / kPage * kPage;
      if (memory_.Read(RemoteAddress(start), page)) {
        page_start = start;
        page_size = kPage;
      }
    }
    address = previous;
  }
  if (chain_.size() == before) return false;
  SetRegions(state);
  return true;
}

// Makes regions of the frames in chain_, the leaf's with room above it.
void StackReader::SetRegions(ThreadState& state) {
  state.regions.clear();
  if (chain_.empty()) return;
  const std::uint64_t leaf = chain_.front();
  std::ranges::sort(chain_);
  std::size_t total = 0;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  const auto close_region = [&] {
    if (end == 0 || state.regions.size() >= kMaxRegions || total + (end - start) > kMaxCopy) return;
    total += end - start;
    state.regions.push_back({RemoteAddress(start), static_cast<std::uint32_t>(end - start)});
  };
  for (const std::uint64_t frame : chain_) {
    if (frame > end + kMaxGap) {
      close_region();
      start = frame;
    }
    end = std::max(end, frame + layout_.frame.size);
    if (frame == leaf) {
      // Never past the page: the next one may not be mapped.
      const std::uint64_t page_end = (end + kPage - 1) / kPage * kPage;
      end = std::min(end + kRoomForCallees, page_end);
    }
  }
  close_region();
}

}  // namespace agent::python
