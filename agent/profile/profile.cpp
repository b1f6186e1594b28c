// SPDX-License-Identifier: Apache-2.0
#include "agent/profile/profile.h"

#include <algorithm>
#include <utility>

namespace agent {
namespace {

// A whole run has at most this many time slices; past it they double in length.
constexpr std::uint32_t kMaxSlices = 2000;
constexpr std::size_t kMaxThreads = 10'000;  // in a profile that is full

std::uint64_t Mix(std::uint64_t hash, std::uint64_t value) {
  hash ^= value + 0x9e3779b97f4a7c15 + (hash << 6) + (hash >> 2);
  return hash * 0xff51afd7ed558ccd;
}

std::uint64_t HashFrames(std::span<const Frame> frames) {
  std::uint64_t hash = frames.size();
  for (const Frame& frame : frames) {
    hash = Mix(hash, std::hash<const Function*>{}(frame.function));
    hash = Mix(hash, std::uint64_t{frame.line} << 1 | (frame.inlined ? 1 : 0));
    hash = Mix(hash, frame.address);
  }
  return hash;
}

constexpr std::size_t Index(StackId id) { return static_cast<std::size_t>(id); }
constexpr std::size_t Index(ThreadIndex id) { return static_cast<std::size_t>(id); }

}  // namespace

LossCounters& LossCounters::operator+=(const LossCounters& other) {
  torn += other.torn;
  unreadable += other.unreadable;
  stop_timeout += other.stop_timeout;
  late_ticks += other.late_ticks;
  dropped += other.dropped;
  truncated += other.truncated;
  incomplete += other.incomplete;
  folded += other.folded;
  return *this;
}

std::size_t Profile::KeyHash::operator()(const SampleKey& key) const {
  std::uint64_t hash = Mix(Index(key.stack), Index(key.thread));
  return Mix(hash, std::uint64_t{key.slice} << 8 | static_cast<std::uint64_t>(key.kind));
}

Profile::Profile(WallTime start, Nanoseconds slice_length)
    : start_(start), slice_length_(slice_length) {}

StackId Profile::InternStack(std::span<const Frame> frames) {
  const std::uint64_t hash = HashFrames(frames);
  const auto [first, last] = stack_index_.equal_range(hash);
  for (auto place = first; place != last; ++place) {
    if (std::ranges::equal(StackFrames(place->second), frames)) return place->second;
  }
  const StackId id{static_cast<std::uint32_t>(stacks_.size())};
  stacks_.push_back({.offset = static_cast<std::uint32_t>(frames_.size()),
                     .size = static_cast<std::uint32_t>(frames.size())});
  frames_.insert(frames_.end(), frames.begin(), frames.end());
  stack_index_.emplace(hash, id);
  return id;
}

ThreadIndex Profile::InternThread(const ThreadInfo& thread) {
  const std::uint64_t key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(thread.pid))
                                << 32 |
                            static_cast<std::uint32_t>(thread.tid);
  const auto [first, last] = thread_index_.equal_range(key);
  for (auto place = first; place != last; ++place) {
    if (Thread(place->second) == thread) return place->second;
  }
  const ThreadIndex id{static_cast<std::uint32_t>(threads_.size())};
  threads_.push_back(thread);
  thread_index_.emplace(key, id);
  return id;
}

void Profile::Add(StackId stack, ThreadIndex thread, SampleKind kind, WallTime at,
                  SampleValue value) {
  std::uint32_t slice = 0;
  if (slice_length_ > Nanoseconds(0) && at > start_) {
    while ((at - start_) / slice_length_ >= kMaxSlices) DoubleSliceLength();
    slice = static_cast<std::uint32_t>((at - start_) / slice_length_);
  }
  values_[{.stack = stack, .thread = thread, .kind = kind, .slice = slice}] += value;
}

void Profile::DoubleSliceLength() {
  slice_length_ *= 2;
  std::unordered_map<SampleKey, SampleValue, KeyHash> values;
  for (const auto& [old, value] : values_) {
    SampleKey key = old;
    key.slice /= 2;
    values[key] += value;
  }
  values_ = std::move(values);
}

void Profile::Merge(const Profile& other) {
  for (const auto& [key, value] : other.values_) {
    const WallTime at = other.start_ + other.slice_length_ * std::int64_t{key.slice};
    Add(InternStack(other.StackFrames(key.stack)), InternThread(other.Thread(key.thread)), key.kind,
        at, value);
  }
  losses_ += other.losses_;
}

void Profile::Shrink(std::size_t bytes, const Function* folded) {
  // Coarser times first: they cost the reader least.
  while (ApproximateBytes() > bytes && slice_length_ > Nanoseconds(0) &&
         slice_length_ < std::chrono::minutes(1)) {
    DoubleSliceLength();
  }
  if (ApproximateBytes() > bytes) FoldRarestStacks(bytes, folded);
}

void Profile::FoldRarestStacks(std::size_t bytes, const Function* folded) {
  std::vector<std::pair<std::int64_t, StackId>> cost(stacks_.size());
  for (std::size_t i = 0; i < stacks_.size(); ++i) {
    cost[i] = {0, StackId{static_cast<std::uint32_t>(i)}};
  }
  for (const auto& [key, value] : values_)
    cost[Index(key.stack)].first += value.cpu_ns + value.wall_ns;
  std::ranges::sort(cost, std::greater());
  Profile kept(start_, slice_length_);
  // Half of the room, so that this does not come back at the next sample.
  std::size_t keep = 0;
  std::size_t frames = 0;
  const std::size_t share =
      bytes / 2 * stacks_.size() / std::max<std::size_t>(1, ApproximateBytes());
  std::vector<bool> is_kept(stacks_.size());
  while (keep < cost.size() && keep < share) {
    frames += stacks_[Index(cost[keep].second)].size;
    if (frames * sizeof(Frame) > bytes / 2) break;
    is_kept[Index(cost[keep].second)] = true;
    ++keep;
  }
  const Frame marker{.function = folded, .line = 0};
  // A program that starts ever new threads: they are told apart by process only.
  const bool fold_threads = threads_.size() > kMaxThreads;
  for (const auto& [key, value] : values_) {
    const bool keeps = is_kept[Index(key.stack)];
    const StackId stack = kept.InternStack(keeps ? StackFrames(key.stack) : std::span(&marker, 1));
    const WallTime at = start_ + slice_length_ * std::int64_t{key.slice};
    ThreadInfo thread = Thread(key.thread);
    if (fold_threads) {
      thread.tid = Tid{};
      thread.thread_name = "[other threads]";
    }
    kept.Add(stack, kept.InternThread(thread), key.kind, at, value);
  }
  losses_.folded += cost.size() - keep;
  kept.duration_ = duration_;
  kept.period_ = period_;
  kept.losses_ = losses_;
  *this = std::move(kept);
}

std::vector<Profile::Entry> Profile::Entries() const {
  std::vector<Entry> entries;
  entries.reserve(values_.size());
  for (const auto& [key, value] : values_) entries.push_back({.key = key, .value = value});
  return entries;
}

std::span<const Frame> Profile::StackFrames(StackId stack) const {
  const StackSpan& span = stacks_[Index(stack)];
  return std::span(frames_).subspan(span.offset, span.size);
}

const ThreadInfo& Profile::Thread(ThreadIndex thread) const { return threads_[Index(thread)]; }

SampleValue Profile::Total() const {
  SampleValue total;
  for (const auto& [key, value] : values_) total += value;
  return total;
}

std::size_t Profile::ApproximateBytes() const {
  constexpr std::size_t kNode = 2 * sizeof(void*);  // of the hash maps
  return frames_.size() * sizeof(Frame) +
         stacks_.size() * (sizeof(StackSpan) + sizeof(std::pair<std::uint64_t, StackId>) + kNode) +
         values_.size() * (sizeof(SampleKey) + sizeof(SampleValue) + kNode) +
         threads_.size() *
             (sizeof(ThreadInfo) + sizeof(std::pair<std::uint64_t, ThreadIndex>) + kNode);
}

}  // namespace agent
