// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/go_stacks.h"

#include <algorithm>
#include <array>
#include <optional>

namespace agent::unwind {
namespace {

// runtime.g, as far as it is the same from Go 1.16 to 1.27 (runtime/runtime2.go).
struct GoG {
  std::uint64_t stack_low;
  std::uint64_t stack_high;
  std::array<std::uint64_t, 4> unused;
  std::uint64_t m;
  std::uint64_t sched_sp;
  std::uint64_t sched_pc;
  std::array<std::uint64_t, 5> sched_rest;
};
static_assert(sizeof(GoG) == 14 * sizeof(std::uint64_t));

// The runtime's thread-local variable g (cmd/link's TLS offset on linux/amd64).
constexpr std::uint64_t kGoTls = 8;
// runtime.m.curg: from Go 1.26 on, and before.
constexpr std::array<std::uint64_t, 2> kCurgOffsets = {184, 192};
constexpr std::uint64_t kMaxGoStack = 1u << 30;
constexpr std::uint64_t kUsualCopy = 64u << 10;
constexpr std::uint64_t kMaxCopy = 1u << 20;

bool IsOn(const GoG& g, std::uint64_t sp) { return sp >= g.stack_low && sp < g.stack_high; }

std::optional<GoG> ReadG(ProcessMemory& memory, std::uint64_t address) {
  const auto g = memory.ReadValue<GoG>(RemoteAddress(address));
  if (!g || g->stack_low >= g->stack_high || g->stack_high - g->stack_low > kMaxGoStack) {
    return std::nullopt;
  }
  return *g;
}

// The goroutine that thread `m` works for.
std::optional<GoG> ReadCurrent(ProcessMemory& memory, std::uint64_t m) {
  for (const std::uint64_t offset : kCurgOffsets) {
    const auto address = memory.ReadValue<std::uint64_t>(RemoteAddress(m).Plus(offset));
    if (!address || *address == 0) continue;
    const std::optional<GoG> g = ReadG(memory, *address);
    if (g && g->m == m) return g;
  }
  return std::nullopt;
}

}  // namespace

void CopyGoroutine(ProcessMemory& memory, ThreadSnapshot& snapshot) {
  const std::uint64_t tls = snapshot.registers.thread_pointer;
  if (tls < kGoTls) return;
  const auto address = memory.ReadValue<std::uint64_t>(RemoteAddress(tls - kGoTls));
  if (!address) return;
  const std::optional<GoG> here = ReadG(memory, *address);
  if (!here) return;
  const std::optional<GoG> current = ReadCurrent(memory, here->m);
  if (!current) {
    // The runtime works for itself: it has left the goroutine that it came from.
    snapshot.switched_from = SwitchedFrom{};
    return;
  }
  if (IsOn(*current, snapshot.registers.sp())) return;
  StackCopy& copy = snapshot.stacks[1];
  copy.start = current->stack_high - std::min(kUsualCopy, current->stack_high - current->stack_low);
  if (IsOn(*current, current->sched_sp)) {
    copy.start = std::min(copy.start, current->sched_sp);
    // gobuf.bp lies behind lr before Go 1.26, then in its place.
    snapshot.switched_from = {
        .pc = current->sched_pc,
        .sp = current->sched_sp,
        .fp = current->sched_rest[4] != 0 ? current->sched_rest[4] : current->sched_rest[3]};
  }
  copy.bytes.resize(std::min(kMaxCopy, current->stack_high - copy.start));
  const auto got = memory.ReadSome(RemoteAddress(copy.start), copy.bytes);
  copy.bytes.resize(got.value_or(0));
}

}  // namespace agent::unwind
