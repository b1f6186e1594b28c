// SPDX-License-Identifier: Apache-2.0
#include "spies/python/thread_states.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <span>

namespace agent::python {
namespace {

constexpr std::size_t kMaxInterpreters = 256;
constexpr std::size_t kMaxThreads = 65536;  // of all interpreters
// New states go to the front of their list, so an unchanged front means no new ones. A front that
// was freed and made again at the same address for the same tid would be missed: hence a full look
// now and then.
constexpr std::chrono::milliseconds kFullLook{200};
// Lists that take long to read are not read all the time.
constexpr std::chrono::milliseconds kLongRefresh{10};
constexpr int kRefreshPause = 4;  // times the CPU time that the last one took
// How soon a thread's second interpreter is found.
constexpr std::chrono::milliseconds kLook{10};
// Of so few, a microsecond's read each, what libc says is asked for at once (ThreadStates::Adopt).
constexpr std::size_t kFewThreads = 8;

std::uint64_t Load(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

}  // namespace

Result<std::vector<ThreadStates::Head>> ThreadStates::ReadHeads() {
  AGENT_TRY(auto address,
            memory_.ReadValue<std::uint64_t>(runtime_.Plus(layout_.runtime.interpreters_head)));
  const std::uint32_t id_offset =
      HasNativeIds() ? layout_.thread.native_thread_id : layout_.thread.thread_id;
  std::vector<Head> heads;
  while (address != 0 && heads.size() < kMaxInterpreters) {
    const RemoteAddress interpreter(address);
    std::uint64_t first = 0;
    std::uint64_t gil = 0;
    std::uint64_t gc_callbacks = 0;
    Head head;
    head.interpreter = interpreter;
    std::vector<ReadRange> ranges = {
        {interpreter.Plus(layout_.interpreter.next), BytesOf(address)},
        {interpreter.Plus(layout_.interpreter.id), BytesOf(head.id)},
        {interpreter.Plus(layout_.interpreter.threads_head), BytesOf(first)}};
    if (layout_.gil.interpreter_gil != 0) {
      ranges.push_back({interpreter.Plus(layout_.gil.interpreter_gil), BytesOf(gil)});
    }
    const RemoteAddress callbacks = ActivityPlaces::CallbacksPlace(layout_, interpreter);
    if (!callbacks.IsNull()) ranges.push_back({callbacks, BytesOf(gc_callbacks)});
    AGENT_CHECK_OK(memory_.ReadRanges(ranges));
    head.gil = RemoteAddress(gil);
    head.gc_callbacks = RemoteAddress(gc_callbacks);
    head.first_thread = RemoteAddress(first);
    if (first != 0) {
      AGENT_TRY(head.first_tid, memory_.ReadValue<std::int64_t>(head.first_thread.Plus(id_offset)));
    }
    heads.push_back(head);
  }
  return heads;
}

Result<void> ThreadStates::ReadThreads(const Head& head) {
  RemoteAddress address = head.first_thread;
  const Layout::Thread& thread = layout_.thread;
  const std::size_t size =
      std::max({thread.next, thread.interp, thread.native_thread_id, thread.thread_id}) +
      sizeof(std::uint64_t);
  std::vector<std::byte> bytes(size);
  RemoteAddress passed;  // a ring comes back to it: Brent's way, at twice the distance each time
  for (std::size_t step = 1, turn = 1; !address.IsNull() && threads_read_ < kMaxThreads; ++step) {
    if (address == passed) return Fail(Errc::kMalformed, "a ring of thread states");
    if (step == turn) {
      passed = address;
      turn *= 2;
    }
    ++threads_read_;
    AGENT_CHECK_OK(memory_.Read(address, bytes));
    if (Load(bytes, layout_.thread.interp) != head.interpreter.value()) {
      return Fail(Errc::kMalformed, "a thread state that belongs to no interpreter");
    }
    ThreadState state;
    state.address = address;
    state.interpreter_id = head.id;
    state.places =
        ActivityPlaces::Of(layout_, runtime_, head.interpreter, head.gil, head.gc_callbacks);
    state.pthread = RemoteAddress(Load(bytes, layout_.thread.thread_id));
    if (HasNativeIds()) {
      const auto tid = static_cast<std::int64_t>(Load(bytes, layout_.thread.native_thread_id));
      state.native_id = InnerTid{static_cast<pid_t>(tid)};
      states_[tid].push_back(std::move(state));
    } else {
      AddLinked(std::move(state));
    }
    address = RemoteAddress(Load(bytes, layout_.thread.next));
  }
  return {};
}

void ThreadStates::AddLinked(ThreadState state) {
  pthreads_.push_back(state.pthread);
  if (!pthread_ids_.IsKnown()) return;
  state.tid_address = pthread_ids_.AddressOf(state.pthread);
  const Result<std::int32_t> tid = memory_.ReadValue<std::int32_t>(state.tid_address);
  // A thread that has ended without taking its state along has nothing to be read.
  if (tid && *tid > 0) states_[*tid].push_back(std::move(state));
}

// Gives `tid` the states of the thread that it was before a fork: a program that embeds Python need
// not tell it, but libc knows the id that its only thread has in the child.
void ThreadStates::Adopt(InnerTid tid) {
  std::map<RemoteAddress, std::int64_t> ids;
  for (const auto& [id, states] : states_) ids[states.front().pthread] = id;
  std::vector<RemoteAddress> pthreads;
  pthreads.reserve(ids.size());
  for (const auto& [pthread, id] : ids) pthreads.push_back(pthread);
  PthreadIds place(memory_);
  place.Learn(pthreads, tid);
  if (!place.IsKnown()) return;
  for (const auto& [pthread, id] : ids) {
    const Result<std::int32_t> own = memory_.ReadValue<std::int32_t>(place.AddressOf(pthread));
    if (own && *own == static_cast<pid_t>(tid)) adopted_ = {.from = id, .to = *own};
  }
  MoveAdopted();
}

void ThreadStates::MoveAdopted() {
  if (!adopted_ || states_.contains(adopted_->to)) return;
  auto states = states_.extract(adopted_->from);
  if (states.empty()) return;
  states.key() = adopted_->to;
  states_.insert(std::move(states));
}

Result<void> ThreadStates::Refresh() {
  const MonotonicTime start = SystemClock().Now();
  const Nanoseconds cpu_before = OwnCpuTime();
  if (start < next_refresh_) return Fail(Errc::kTimeout, "too many thread states to read them now");
  pthreads_.clear();
  threads_read_ = 0;
  refreshed_ = start;
  AGENT_TRY(heads_, ReadHeads());
  if (heads_.empty()) return Fail(Errc::kTimeout, "no interpreter has started yet");
  const auto before = std::exchange(states_, {});
  Result<void> result;
  for (const Head& head : heads_) {
    if (Result<void> read = ReadThreads(head); !read) result = read;
  }
  MoveAdopted();
  for (auto& [tid, states] : states_) {
    std::ranges::stable_sort(states, std::greater(), &ThreadState::interpreter_id);
    const auto old = before.find(tid);
    if (old == before.end()) continue;
    for (ThreadState& state : states) {
      const auto same = std::ranges::find(old->second, state.address, &ThreadState::address);
      if (same == old->second.end()) continue;
      state.cframe = same->cframe;
      state.regions = same->regions;
      state.known = same->known;
    }
  }
  const Nanoseconds taken = OwnCpuTime() - cpu_before;
  if (taken > kLongRefresh) next_refresh_ = SystemClock().Now() + taken * kRefreshPause;
  return result;
}

// Whether interpreters or states were added, or taken away, at the front of a list. One read.
bool ThreadStates::HasNewStates() {
  std::vector<std::uint64_t> words(1 + 2 * heads_.size());
  const auto word = [&](std::size_t i) {
    return std::as_writable_bytes(std::span(words).subspan(i, 1));
  };
  std::vector<ReadRange> ranges = {{runtime_.Plus(layout_.runtime.interpreters_head), word(0)}};
  for (std::size_t i = 0; i < heads_.size(); ++i) {
    const RemoteAddress interpreter = heads_[i].interpreter;
    ranges.push_back({interpreter.Plus(layout_.interpreter.next), word(1 + 2 * i)});
    ranges.push_back({interpreter.Plus(layout_.interpreter.threads_head), word(2 + 2 * i)});
  }
  if (!memory_.ReadRanges(ranges)) return true;
  for (std::size_t i = 0; i < heads_.size(); ++i) {
    const std::uint64_t previous = i == 0 ? words[0] : words[2 * i - 1];
    if (previous != heads_[i].interpreter.value()) return true;
    if (words[2 + 2 * i] != heads_[i].first_thread.value()) return true;
  }
  return words[2 * heads_.size() - 1] != 0;
}

std::vector<ThreadState>* ThreadStates::Known(InnerTid tid) {
  const auto found = states_.find(static_cast<std::int64_t>(tid));
  return found == states_.end() ? nullptr : &found->second;
}

// Whether an interpreter had not all that its threads share when it was read.
bool ThreadStates::IsStarting() const {
  const bool has_gil = layout_.gil.interpreter_gil != 0;
  const bool has_collector = layout_.gc.interpreter_collecting != 0;
  return std::ranges::any_of(heads_, [&](const Head& head) {
    return (has_gil && head.gil.IsNull()) || (has_collector && head.gc_callbacks.IsNull());
  });
}

std::vector<ThreadState>* ThreadStates::Find(InnerTid tid) {
  const MonotonicTime now = SystemClock().Now();
  if (std::vector<ThreadState>* known = Known(tid)) {
    is_found_ = true;
    if (heads_.size() == 1 && now - looked_ < kLook) return known;
    looked_ = now;
    if (!IsStarting() && !HasNewStates()) return known;
    static_cast<void>(Refresh());
    return Known(tid);
  }
  const bool may_adopt = HasNativeIds() && !is_found_;
  if (may_adopt && states_.size() <= kFewThreads) Adopt(tid);
  if (std::vector<ThreadState>* adopted = Known(tid)) return adopted;
  const Result<std::vector<Head>> heads = ReadHeads();
  if (!heads) return nullptr;
  const bool is_learning = !HasNativeIds() && !pthread_ids_.IsKnown();
  if (*heads == heads_ && !is_learning && now - refreshed_ < kFullLook) return nullptr;
  if (is_learning) {
    static_cast<void>(Refresh());
    pthread_ids_.Learn(pthreads_, tid);
    if (!pthread_ids_.IsKnown()) return nullptr;
  }
  static_cast<void>(Refresh());
  if (may_adopt && Known(tid) == nullptr) Adopt(tid);
  return Known(tid);
}

}  // namespace agent::python
