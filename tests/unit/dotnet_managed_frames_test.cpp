// SPDX-License-Identifier: Apache-2.0
// Steps through methods that have no names, over code and stacks made by hand.
#include <cstring>

#include "spies/dotnet/managed_frames.h"
#include "tests/support/catch.h"
#include "tests/support/dotnet_code.h"
#include "tests/support/fake_process.h"

using namespace agent;
using namespace agent::dotnet;
using unwind::ManagedStep;

namespace {

using Numbers = RegisterNumbers;

constexpr std::uint64_t kCode = testing::DotnetCode::kBegin;
constexpr std::uint64_t kElsewhere = 0x7e00'0000'0000;
constexpr std::uint64_t kStack = 0x7d00'0000'1000;
constexpr std::uint64_t kCallersFp = kStack + 0x200;
constexpr std::uint64_t kPac = kCallPushes ? 0 : 0x00a5'0000'0000'0000;

struct Fixture {
  testing::FakeProcess process;
  testing::DotnetCode code{process.fake_memory};
  FunctionTable functions;
  ManagedFrames managed{process, *LayoutOf(10), RemoteAddress(testing::DotnetCode::kRanges),
                        functions, false};
  ThreadSnapshot snapshot;
  Registers registers;
  std::uint32_t known = ~0u;
  Stack frames;

  Fixture() {
    code.PutMethod(0x48, 0x100, 0x51'0000);
    snapshot.stacks[0].start = kStack;
    snapshot.stacks[0].bytes.resize(0x100);
    registers.values[Numbers::kSp] = kStack;
    registers.values[Numbers::kFp] = kStack;
  }
  void PutWord(std::uint64_t address, std::uint64_t value) {
    std::memcpy(snapshot.stacks[0].bytes.data() + (address - kStack), &value, sizeof(value));
  }
  ManagedStep Step(std::uint64_t pc, bool is_exact) {
    registers.values[Numbers::kPc] = pc;
    return managed.Step(snapshot, is_exact, registers, known, frames);
  }
};

}  // namespace

TEST_CASE("ManagedFrames: from a method to its caller") {
  Fixture f;
  f.PutWord(kStack, kCallersFp);
  f.PutWord(kStack + 8, (kCode + 0x60) | kPac);
  const bool is_exact = GENERATE(true, false);
  if (!is_exact) f.known = std::uint32_t{1} << Numbers::kSp;
  CHECK(f.Step(kCode + 0x80, is_exact) == ManagedStep::kCaller);
  CHECK(f.registers.pc() == kCode + 0x60);
  CHECK(f.registers.fp() == kCallersFp);
  CHECK(f.registers.sp() == kStack + 16);
  CHECK(f.frames.size() == 1);
  CHECK((f.known >> Numbers::kFp & 1) == 1);
  CHECK((f.known >> Numbers::kReturnColumn & 1) == 0);
}

TEST_CASE("ManagedFrames: before a method's first instruction") {
  Fixture f;
  f.PutWord(kStack, kCode + 0x60);  // where a call pushes
  f.registers.values[Numbers::kReturnColumn] = (kCode + 0x60) | kPac;
  CHECK(f.Step(kCode + 0x48, true) == ManagedStep::kCaller);
  CHECK(f.registers.pc() == kCode + 0x60);
  CHECK(f.registers.fp() == kStack);
  CHECK(f.registers.sp() == kStack + (kCallPushes ? 8 : 0));
}

TEST_CASE("ManagedFrames: where it cannot go on") {
  Fixture f;
  SECTION("the copy of the stack ends") {
    f.registers.values[Numbers::kSp] = kStack + 0x100;
    CHECK(f.Step(kCode + 0x80, true) == ManagedStep::kTruncated);
  }
  SECTION("the return address is in a register that is not known") {
    if (kCallPushes) return;
    f.known = std::uint32_t{1} << Numbers::kSp;
    CHECK(f.Step(kCode + 0x48, true) == ManagedStep::kLost);
  }
  SECTION("code that belongs to no method") {
    CHECK(f.Step(kCode + 0x20, true) == ManagedStep::kLost);
    CHECK(f.frames.size() == 1);
  }
}

TEST_CASE("ManagedFrames: a copy of a write barrier is known by the method that called it") {
  if (kCallPushes) return;
  Fixture f;
  f.registers.values[Numbers::kReturnColumn] = (kCode + 0x60) | kPac;
  CHECK(f.Step(kElsewhere, true) == ManagedStep::kStub);
  CHECK(f.Step(kElsewhere, false) == ManagedStep::kNotMine);
  f.registers.values[Numbers::kReturnColumn] = kElsewhere + 0x100;
  CHECK(f.Step(kElsewhere, true) == ManagedStep::kNotMine);
  f.known = 0;
  f.registers.values[Numbers::kReturnColumn] = kCode + 0x60;
  CHECK(f.Step(kElsewhere, true) == ManagedStep::kNotMine);
  CHECK(f.frames.empty());
}
