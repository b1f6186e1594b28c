// SPDX-License-Identifier: Apache-2.0
#include "spies/python/quick_reader.h"

#include <algorithm>

namespace agent::python {
namespace {

constexpr int kMostTries = 4;           // while the current frame changes under the look
constexpr std::size_t kCheckEvery = 8;  // looks; some 20 us
constexpr std::size_t kMaxCopy = 64u
                                 << 10;  // of memory with frames; deeper stacks are not for this
// How old the word of CodeCache may be when a burst begins, and how long a code object is looked
// after that was not met again.
constexpr std::chrono::milliseconds kFresh{3};
constexpr std::chrono::milliseconds kKeep{30};
// What is remembered at most; then all of it is learned anew.
constexpr std::size_t kMaxCodes = 512;
constexpr std::size_t kMaxChainFrames = 65536;
constexpr std::size_t kMaxNumbers = 16384;

std::uint64_t Mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ hash >> 29;
}

// Of the callers, and of which function the leaf is.
std::uint64_t HashCallers(std::span<const RawFrame> frames) {
  std::uint64_t hash = Mix(frames.size(), frames.front().code.value());
  for (const RawFrame& frame : frames.subspan(1)) {
    hash = Mix(Mix(hash, frame.code.value() + frame.bytecode), frame.instruction.value());
  }
  return hash;
}

bool AreSameCallers(std::span<const RawFrame> a, std::span<const RawFrame> b) {
  if (a.size() != b.size() || a.front().code != b.front().code) return false;
  return std::ranges::equal(a.subspan(1), b.subspan(1), [](const RawFrame& x, const RawFrame& y) {
    return x.code == y.code && x.instruction == y.instruction && x.bytecode == y.bytecode;
  });
}

std::uint64_t HashLook(std::uint64_t callers_hash, const RawFrame& leaf) {
  return Mix(Mix(callers_hash, leaf.instruction.value()), leaf.bytecode);
}

}  // namespace

// Of all readers, one after another on one thread: numbers of one that is no more mean nothing.
std::uint64_t QuickReader::NextGeneration() {
  static std::uint64_t last = 0;
  return ++last;
}

bool QuickReader::Begin(const ThreadState& state, std::span<const RawFrame> frames,
                        RemoteAddress root, const Stack& named, MonotonicTime now) {
  if (frames.empty() || named.empty()) return false;
  begun_ = now;
  native_id_ = state.native_id;
  root_ = root;
  SetRanges(state);
  if (bytes_.size() > kMaxCopy) return false;
  looks_ = 0;
  sure_looks_ = 0;
  last_hash_ = 0;
  if (known_codes_.size() + frames.size() > kMaxCodes || chain_frames_ > kMaxChainFrames ||
      numbers_.size() > kMaxNumbers || by_look_.size() > 2 * kMaxNumbers) {
    Forget();
  }
  const std::uint64_t hash = HashCallers(frames);
  const auto [place, is_new] =
      by_callers_.try_emplace(hash, static_cast<std::uint32_t>(chains_.size()));
  if (is_new) {
    Chain& chain = chains_.emplace_back();
    chain.frames.assign(frames.begin(), frames.end());
    chain.named = named;
    for (const RawFrame& frame : frames) chain.codes.push_back(AddCode(frame.code));
    std::ranges::sort(chain.codes);
    chain.codes.erase(std::ranges::unique(chain.codes).begin(), chain.codes.end());
    chain_frames_ += frames.size();
  }
  Chain& chain = chains_[place->second];
  // Two with one hash; or other functions, at the addresses of those that were freed.
  if (!AreSameCallers(chain.frames, frames) ||
      !std::ranges::equal(chain.named, named, {}, &Frame::function, &Frame::function)) {
    Forget();
    return false;
  }
  for (const std::uint32_t code : chain.codes) known_codes_[code].confirmed = now;
  is_open_ = true;
  return true;
}

std::uint32_t QuickReader::AddCode(RemoteAddress address) {
  const auto [place, is_new] =
      code_index_.try_emplace(address, static_cast<std::uint32_t>(known_codes_.size()));
  if (is_new) known_codes_.push_back({.address = address, .confirmed = {}, .used = {}});
  return place->second;
}

void QuickReader::Forget() {
  generation_ = NextGeneration();
  known_codes_.clear();
  code_index_.clear();
  chains_.clear();
  chain_frames_ = 0;
  by_callers_.clear();
  by_look_.clear();
  numbers_.clear();
  last_hash_ = 0;
}

// What each look reads, in this order.
void QuickReader::SetRanges(const ThreadState& state) {
  const Layout::Thread& thread = layout_.thread;
  const std::uint32_t start = std::min(thread.frame, thread.native_thread_id);
  thread_size_ = std::max(thread.frame, thread.native_thread_id) + sizeof(std::uint64_t) - start;
  regions_ = state.regions;
  // Where Python was entered for the first time: who has it as the caller is the first frame.
  std::erase_if(regions_, [&](const Region& region) {
    return region.start == root_ && region.size <= layout_.frame.size &&
           layout_.frame.is_entry == 0;
  });
  std::size_t size = thread_size_;
  for (const Region& region : regions_) size += region.size;
  bytes_.resize(size);
  ranges_.clear();
  const std::span<std::byte> bytes(bytes_);
  ranges_.push_back({state.address.Plus(start), bytes.first(thread_size_)});
  const RemoteAddress inner = state.cframe.Plus(thread.cframe_current_frame);
  if (thread.frame_is_in_cframe) ranges_.push_back({inner, BytesOf(inner_before_)});
  std::size_t offset = thread_size_;
  for (const Region& region : regions_) {
    ranges_.push_back({region.start, bytes.subspan(offset, region.size)});
    offset += region.size;
  }
  ranges_.push_back({thread.frame_is_in_cframe ? inner : state.address.Plus(thread.frame),
                     BytesOf(current_after_)});
  tells_collecting_ = !state.places.collecting.IsNull();
  if (tells_collecting_) ranges_.push_back({state.places.collecting, BytesOf(collecting_)});
}

std::optional<std::uint32_t> QuickReader::Look() {
  const Layout::Thread& thread = layout_.thread;
  const std::uint32_t start = std::min(thread.frame, thread.native_thread_id);
  const bool checks = tells_collecting_ && looks_ + 1 >= sure_looks_ + kCheckEvery;
  const auto ranges =
      std::span(ranges_).first(ranges_.size() - (tells_collecting_ && !checks ? 1 : 0));
  for (int attempt = 0; attempt < kMostTries; ++attempt) {
    if (attempt > 0) jitter_.Wait();
    if (!memory_.ReadRanges(ranges)) return std::nullopt;
    const auto native_id =
        static_cast<std::int64_t>(LoadWord(bytes_.data(), thread.native_thread_id - start));
    if (native_id != static_cast<std::int64_t>(native_id_)) return std::nullopt;
    const std::uint64_t before =
        thread.frame_is_in_cframe ? inner_before_ : LoadWord(bytes_.data(), thread.frame - start);
    if (before != current_after_) continue;
    if (!Walk(RemoteAddress(before))) return std::nullopt;
    if (checks && collecting_ != 0) {
      looks_ = sure_looks_;
      return std::nullopt;
    }
    const auto number = Recognise();
    if (!number) return std::nullopt;
    ++looks_;
    if (checks || !tells_collecting_) sure_looks_ = looks_;
    return number;
  }
  return std::nullopt;
}

const std::byte* QuickReader::FindFrame(RemoteAddress frame) const {
  const auto offset = OffsetIn(regions_, frame, layout_.frame.size);
  return offset ? bytes_.data() + thread_size_ + *offset : nullptr;
}

// Fills frames_. False where the chain does not lead to the root.
bool QuickReader::Walk(RemoteAddress current) {
  frames_.clear();
  std::size_t steps = bytes_.size() / layout_.frame.size + 1;  // more do not fit in
  RemoteAddress address = current;
  // 3.11 has no marker behind the first frame.
  const bool is_marked = layout_.frame.is_entry == 0;
  while (!is_marked || address != root_) {
    const std::byte* bytes = FindFrame(address);
    if (bytes == nullptr || steps-- == 0) return false;
    if (std::to_integer<unsigned>(bytes[layout_.frame.owner]) < layout_.frame.first_shim_owner) {
      frames_.push_back(DecodeFrame(bytes, layout_.frame));
    }
    if (!is_marked && address == root_) break;
    address = RemoteAddress(LoadWord(bytes, layout_.frame.previous));
  }
  return !frames_.empty();
}

// The number of the stack in frames_.
std::optional<std::uint32_t> QuickReader::Recognise() {
  callers_hash_ = HashCallers(frames_);
  const std::uint64_t hash = HashLook(callers_hash_, frames_.front());
  if (hash == last_hash_) return last_number_;
  const auto known = by_callers_.find(callers_hash_);
  if (known == by_callers_.end()) return std::nullopt;
  Chain& chain = chains_[known->second];
  if (chain.burst != begun_) {
    chain.burst = begun_;
    chain.is_usable = AreSameCallers(chain.frames, frames_) && IsUsable(chain);
  }
  if (!chain.is_usable) return std::nullopt;
  const auto found = by_look_.find(hash);
  const auto number = found != by_look_.end() ? found->second : AddLook(known->second, hash);
  if (number) {
    last_hash_ = hash;
    last_number_ = *number;
  }
  return number;
}

// Whether CodeCache's word on all its code objects is fresh.
bool QuickReader::IsUsable(Chain& chain) {
  const bool usable = std::ranges::all_of(chain.codes, [&](std::uint32_t code) {
    return known_codes_[code].confirmed + kFresh >= begun_;
  });
  if (usable) {
    for (const std::uint32_t code : chain.codes) known_codes_[code].used = begun_;
  }
  return usable;
}

// The leaf is at an instruction where it was not seen before.
std::optional<std::uint32_t> QuickReader::AddLook(std::uint32_t chain, std::uint64_t look_hash) {
  const std::optional<std::uint32_t> line = codes_.KnownLine(frames_.front());
  if (!line) return std::nullopt;
  const auto [place, is_new] = by_look_.try_emplace(Mix(Mix(callers_hash_, *line), 1),
                                                    static_cast<std::uint32_t>(numbers_.size()));
  if (is_new) numbers_.push_back({.chain = chain, .line = *line});
  const std::uint32_t number = place->second;
  by_look_.emplace(look_hash, number);
  return number;
}

std::size_t QuickReader::End() {
  is_open_ = false;
  if (looks_ == 0) return 0;
  to_confirm_.clear();
  for (const Code& code : known_codes_) {
    if (code.used + kKeep >= begun_) to_confirm_.push_back(code.address);
  }
  collecting_ = 0;
  const bool asked =
      !tells_collecting_ || memory_.ReadRanges(std::span(ranges_).last(1)).has_value();
  if (!asked || !codes_.AreUnchanged(to_confirm_)) {
    Forget();
    return 0;
  }
  const MonotonicTime now = SystemClock().Now();
  for (Code& code : known_codes_) {
    if (code.used + kKeep >= begun_) code.confirmed = now;
  }
  return collecting_ == 0 ? looks_ : sure_looks_;
}

void QuickReader::StackOf(std::uint32_t number, Stack& stack) const {
  const Number& known = numbers_[number];
  const Chain& chain = chains_[known.chain];
  stack = chain.named;
  stack.front().line = known.line;
}

}  // namespace agent::python
