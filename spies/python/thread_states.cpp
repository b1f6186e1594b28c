// SPDX-License-Identifier: Apache-2.0
#include "spies/python/thread_states.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace agent::python {
namespace {

constexpr std::size_t kMaxInterpreters = 256;
constexpr std::size_t kMaxThreads = 65536;
// New states go to the front of their list, so an unchanged front means no new ones. A front that
// was freed and made again at the same address for the same tid would be missed: hence a full look
// now and then.
constexpr std::chrono::milliseconds kFullLook{200};

std::uint64_t Load(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

}  // namespace

Result<std::vector<ThreadStates::Head>> ThreadStates::ReadHeads() {
  AGENT_TRY(auto address,
            memory_.ReadValue<std::uint64_t>(runtime_.Plus(layout_.runtime.interpreters_head)));
  std::vector<Head> heads;
  while (address != 0 && heads.size() < kMaxInterpreters) {
    const RemoteAddress interpreter(address);
    std::uint64_t first = 0;
    std::array<ReadRange, 3> ranges;
    Head head;
    head.interpreter = interpreter;
    ranges[0] = {interpreter.Plus(layout_.interpreter.next),
                 std::as_writable_bytes(std::span(&address, 1))};
    ranges[1] = {interpreter.Plus(layout_.interpreter.id),
                 std::as_writable_bytes(std::span(&head.id, 1))};
    ranges[2] = {interpreter.Plus(layout_.interpreter.threads_head),
                 std::as_writable_bytes(std::span(&first, 1))};
    AGENT_CHECK_OK(memory_.ReadRanges(ranges));
    head.first_thread = RemoteAddress(first);
    if (first != 0) {
      AGENT_TRY(head.first_tid, memory_.ReadValue<std::int64_t>(
                                    head.first_thread.Plus(layout_.thread.native_thread_id)));
    }
    heads.push_back(head);
  }
  return heads;
}

Result<void> ThreadStates::ReadThreads(const Head& head) {
  RemoteAddress address = head.first_thread;
  const std::size_t size = layout_.thread.native_thread_id + sizeof(std::uint64_t);
  std::vector<std::byte> bytes(size);
  for (std::size_t count = 0; !address.IsNull() && count < kMaxThreads; ++count) {
    AGENT_CHECK_OK(memory_.Read(address, bytes));
    if (Load(bytes, layout_.thread.interp) != head.interpreter.value()) {
      return Fail(Errc::kMalformed, "a thread state that belongs to no interpreter");
    }
    const auto tid = static_cast<std::int64_t>(Load(bytes, layout_.thread.native_thread_id));
    states_[tid].push_back(
        {.address = address, .interpreter_id = head.id, .cframe = {}, .regions = {}});
    address = RemoteAddress(Load(bytes, layout_.thread.next));
  }
  return {};
}

Result<void> ThreadStates::Refresh() {
  refreshed_ = SystemClock().Now();
  AGENT_TRY(heads_, ReadHeads());
  if (heads_.empty()) return Fail(Errc::kTimeout, "no interpreter has started yet");
  const auto before = std::exchange(states_, {});
  Result<void> result;
  for (const Head& head : heads_) {
    if (Result<void> read = ReadThreads(head); !read) result = read;
  }
  for (auto& [tid, states] : states_) {
    std::ranges::stable_sort(states, std::greater(), &ThreadState::interpreter_id);
    const auto old = before.find(tid);
    if (old == before.end()) continue;
    for (ThreadState& state : states) {
      const auto same = std::ranges::find(old->second, state.address, &ThreadState::address);
      if (same != old->second.end()) state = *same;
    }
  }
  return result;
}

std::vector<ThreadState>* ThreadStates::Find(InnerTid tid) {
  const auto key = static_cast<std::int64_t>(tid);
  if (const auto found = states_.find(key); found != states_.end()) return &found->second;
  const Result<std::vector<Head>> heads = ReadHeads();
  if (!heads) return nullptr;
  if (*heads == heads_ && SystemClock().Now() - refreshed_ < kFullLook) return nullptr;
  if (Refresh(); !states_.contains(key)) return nullptr;
  return &states_[key];
}

}  // namespace agent::python
