// SPDX-License-Identifier: Apache-2.0
#include "spies/python/linked_reader.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace agent::python {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kPagesKept = 16;
constexpr std::size_t kMaxKnown = StackReader::kMaxFrames + 256;
// Frames nearer than this share a region: a range more costs as much as 2 KiB more.
constexpr std::uint64_t kMaxGap = 1024;
// Past user space, 5-level paging included: arithmetic with what is below does not overflow.
constexpr RemoteAddress kMaxAddress{std::uint64_t{1} << 57};
// A frame that no stack had for so long is not read along any more.
constexpr std::uint32_t kMaxUnused = 16;

template <typename T>
T Load(const std::byte* bytes) {
  T value{};
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

}  // namespace

LinkedReader::LinkedReader(ProcessMemory& memory, const Layout& layout)
    : memory_(memory), layout_(layout) {
  const Layout::Frame& frame = layout.frame;
  part_start_ = std::min({frame.previous, frame.executable, frame.instruction});
  part_size_ = std::max({frame.previous, frame.executable, frame.instruction}) + 8 - part_start_;
  if (!frame.is_linked) return;
  ranges_.reserve(ProcessMemory::kMaxRanges);
  pages_.resize(kPagesKept);
  chain_.reserve(StackReader::kMaxFrames);
}

// Fills current_ and parts_.
LinkedReader::Taken LinkedReader::TakeKnown(ThreadState& state, InnerTid tid) {
  std::uint64_t current = 0;
  std::uint64_t pthread = 0;
  std::int32_t id = 0;
  const auto read = [&]() -> Result<void> {
    ranges_.clear();
    ranges_.push_back({state.address.Plus(layout_.thread.frame), BytesOf(current)});
    ranges_.push_back({state.address.Plus(layout_.thread.thread_id), BytesOf(pthread)});
    ranges_.push_back({state.tid_address, BytesOf(id)});
    state.activity.AddRanges(state.places, ranges_);
    std::size_t offset = 0;
    for (const Region& region : state.regions) {
      if (ranges_.size() == ProcessMemory::kMaxRanges) {
        AGENT_CHECK_OK(memory_.ReadRanges(ranges_));
        ranges_.clear();
      }
      ranges_.push_back({region.start, std::span(parts_).subspan(offset, region.size)});
      offset += region.size;
    }
    return memory_.ReadRanges(ranges_);
  };
  Result<void> taken = read();
  if (!taken && taken.error().code != Errc::kGone && !state.known.empty()) {
    state.known.clear();  // memory that held frames has been given back
    state.regions.clear();
    taken = read();
  }
  if (!taken) return taken.error().code == Errc::kGone ? Taken::kGone : Taken::kMoved;
  state.activity.Take(state.places);
  if (pthread != state.pthread.value() || id != static_cast<std::int32_t>(tid)) {
    return Taken::kMoved;
  }
  current_ = RemoteAddress(current);
  return Taken::kTaken;
}

// The frame's part, or null when it cannot be read.
const std::byte* LinkedReader::Find(const ThreadState& state, RemoteAddress frame) {
  if (frame > kMaxAddress) return nullptr;
  const auto& known = state.known;
  const auto found = std::ranges::lower_bound(known, frame, {}, &KnownFrame::address);
  if (found != known.end() && found->address == frame) {
    return parts_.data() + found->offset;
  }
  return FindInPages(frame);
}

const std::byte* LinkedReader::FindInPages(RemoteAddress frame) {
  const std::uint64_t start = frame.Plus(part_start_).value();
  for (std::size_t i = 0; i < std::min(reads_, kPagesKept); ++i) {
    const Page& page = pages_[(reads_ - 1 - i) % kPagesKept];
    if (start >= page.start.value() && start + part_size_ <= page.start.value() + page.size) {
      return page.bytes.data() + (start - page.start.value());
    }
  }
  if (reads_ >= kMaxReads) return nullptr;
  Page& page = pages_[reads_ % kPagesKept];
  page.start = RemoteAddress(start / kPage * kPage);
  page.size = start % kPage + part_size_ <= kPage ? kPage : 2 * kPage;
  ++reads_;
  if (!memory_.Read(page.start, std::span(page.bytes).first(page.size))) {
    page.size = 0;
    return nullptr;
  }
  return page.bytes.data() + start % kPage;
}

RawFrame LinkedReader::Decode(const std::byte* part) const {
  const RemoteAddress code(Load<std::uint64_t>(part + (layout_.frame.executable - part_start_)));
  const auto index = Load<std::int32_t>(part + (layout_.frame.instruction - part_start_));
  // As an address in bytecode that began at the code object: one unit before it for a frame that
  // has not run yet.
  const std::int64_t bytes = index < 0 ? -2 : std::int64_t{index} * layout_.frame.bytes_per_index;
  return {.code = code,
          .instruction = RemoteAddress(code.value() + layout_.code.instructions +
                                       static_cast<std::uint64_t>(bytes)),
          .is_entry = true,
          .address = {}};
}

ReadOutcome LinkedReader::Read(ThreadState& state, InnerTid tid, std::vector<RawFrame>& frames) {
  const std::size_t before = frames.size();
  chain_.clear();
  reads_ = 0;
  switch (TakeKnown(state, tid)) {
    case Taken::kTaken:
      break;
    case Taken::kMoved:
      return ReadOutcome::kMoved;
    case Taken::kGone:
      return ReadOutcome::kGone;
  }
  const bool collects = state.activity.collecting == 1 && state.activity.HoldsGil(state.address);
  state.gc_at = collects ? std::optional(before) : std::nullopt;
  RemoteAddress address = current_;
  while (!address.IsNull()) {
    if (chain_.size() >= StackReader::kMaxFrames) return ReadOutcome::kTruncated;
    const std::byte* part = Find(state, address);
    if (part == nullptr) {
      if (reads_ >= kMaxReads) return ReadOutcome::kTruncated;
      frames.resize(before);
      return ReadOutcome::kTorn;
    }
    frames.push_back(Decode(part));
    chain_.push_back(address);
    address = RemoteAddress(Load<std::uint64_t>(part + (layout_.frame.previous - part_start_)));
  }
  return ReadOutcome::kStack;
}

void LinkedReader::Learn(ThreadState& state) {
  for (KnownFrame& frame : state.known) ++frame.unused;
  for (const RemoteAddress address : chain_) state.known.push_back({.address = address});
  // The youngest of equal ones first.
  std::ranges::sort(state.known, [](const KnownFrame& a, const KnownFrame& b) {
    return a.address != b.address ? a.address < b.address : a.unused < b.unused;
  });
  const auto doubles = std::ranges::unique(state.known, {}, &KnownFrame::address);
  state.known.erase(doubles.begin(), doubles.end());
  std::erase_if(state.known, [](const KnownFrame& frame) { return frame.unused > kMaxUnused; });
  if (state.known.size() > kMaxKnown) {
    std::erase_if(state.known, [](const KnownFrame& frame) { return frame.unused > 0; });
  }
  SetRegions(state);
}

void LinkedReader::SetRegions(ThreadState& state) {
  state.regions.clear();
  std::uint64_t end = 0;
  std::uint32_t before = 0;  // bytes of all regions but the last
  for (KnownFrame& frame : state.known) {
    const std::uint64_t start = frame.address.Plus(part_start_).value();
    if (state.regions.empty() || start - end > kMaxGap) {
      if (!state.regions.empty()) before += state.regions.back().size;
      state.regions.push_back({RemoteAddress(start), 0});
    }
    Region& region = state.regions.back();
    frame.offset = before + static_cast<std::uint32_t>(start - region.start.value());
    end = std::max(end, start + part_size_);
    region.size = static_cast<std::uint32_t>(end - region.start.value());
  }
  // Here, for a stopped thread must not wait for memory.
  if (!state.regions.empty()) {
    parts_.resize(std::max<std::size_t>(parts_.size(), before + state.regions.back().size));
  }
}

}  // namespace agent::python
