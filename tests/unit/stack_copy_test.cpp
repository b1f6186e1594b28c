// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/stack_copy.h"

#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

namespace agent {
namespace {

constexpr std::uint64_t kOwnEnd = 0x7000'0000;
constexpr std::uint64_t kOtherStack = 0x5000'0000;
constexpr std::uint64_t kGoroutine = 0x6000'0000;
constexpr std::size_t kOwnCopy = 64u << 10;

// Of a thread whose own stack is known, on another one now.
StackGuess GuessOfSwitched() {
  StackGuess guess;
  guess.Learn({.end = kOwnEnd, .changed_stack = true}, false);
  return guess;
}

ThreadSnapshot SnapshotOnOtherStack() {
  ThreadSnapshot snapshot;
  snapshot.registers.values[RegisterNumbers::kSp] = kOtherStack + ThreadSnapshot::kRedZone;
  return snapshot;
}

FakeMemory MemoryOfBoth() {
  FakeMemory memory;
  for (std::uint64_t at = 0; at < kOwnCopy; at += 8) memory.Put(kOwnEnd - kOwnCopy + at, at);
  for (std::uint64_t at = 0; at < 4096; at += 8) memory.Put(kOtherStack + at, ~at);
  return memory;
}

TEST_CASE("Stack copy: a thread on another stack has its own one beside it") {
  FakeMemory memory = MemoryOfBoth();
  ThreadSnapshot snapshot = SnapshotOnOtherStack();
  StackCopier copier;
  copier.Copy(memory, GuessOfSwitched(), snapshot);
  copier.Keep(snapshot);
  CHECK(snapshot.ReadWord(kOtherStack + 16) == ~std::uint64_t{16});
  CHECK(snapshot.ReadWord(kOwnEnd - 8) == kOwnCopy - 8);
}

TEST_CASE("Stack copy: the second stack that a spy has copied stays") {
  FakeMemory memory = MemoryOfBoth();
  ThreadSnapshot snapshot = SnapshotOnOtherStack();
  StackCopier copier;
  copier.Copy(memory, GuessOfSwitched(), snapshot);
  snapshot.stacks[1].start = kGoroutine;
  snapshot.stacks[1].bytes.assign(16, std::byte{0x11});
  copier.Keep(snapshot);
  CHECK(snapshot.ReadWord(kGoroutine) == 0x1111'1111'1111'1111u);
  CHECK(snapshot.ReadWord(kOwnEnd - 8) == std::nullopt);
}

}  // namespace
}  // namespace agent
