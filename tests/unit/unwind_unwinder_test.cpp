// SPDX-License-Identifier: Apache-2.0
// The unwinder over stacks and call frame information made by hand: the same on every architecture
// unless a test says otherwise.
#include <memory>
#include <vector>

#include "spies/unwind/machine_code.h"
#include "spies/unwind/unwinder.h"
#include "tests/support/catch.h"
#include "tests/support/cfi_image.h"
#include "tests/support/fake_process.h"

namespace agent::unwind {
namespace {

using testing::CfiFunction;
using testing::CfiProgram;
using Numbers = RegisterNumbers;

constexpr std::uint64_t kFile = 0x7f0000000000;
constexpr std::uint64_t kCode = 0x7e0000000000;  // without call frame information
constexpr std::uint64_t kStack = 0x7d0000001000;
constexpr std::uint64_t kLeaf = 0x2000;  // in the file, 0x100 each
constexpr std::uint64_t kMiddle = 0x2100;
constexpr std::uint64_t kRoot = 0x2200;
constexpr std::uint64_t kPac = kCallPushes ? 0 : 0x00a5000000000000;

// DW_CFA_*
constexpr std::uint8_t kOffset = 0x80;  // of the register added to it; times -8
constexpr std::uint8_t kUndefinedRegister = 0x07;
constexpr std::uint8_t kInRegister = 0x09;
constexpr std::uint8_t kCfaOffset = 0x0e;
constexpr std::uint8_t kCfaExpression = 0x0f;

// A frame of 32 bytes, whose lowest or highest two words are the record.
CfiProgram FrameOf32() {
  const std::uint8_t record = kCallPushes ? 2 : 4;
  return {kCfaOffset,
          32,
          static_cast<std::uint8_t>(kOffset | Numbers::kFp),
          record,
          static_cast<std::uint8_t>(kOffset | Numbers::kReturnColumn),
          static_cast<std::uint8_t>(record - 1)};
}
constexpr std::uint64_t kRecord = kCallPushes ? 16 : 0;  // from the stack pointer

CfiFunction Root() { return {kRoot, 0x100, {kUndefinedRegister, Numbers::kReturnColumn}}; }

class Nobody final : public ModuleListener {
 public:
  void OnModule(const Module&, std::shared_ptr<const ElfSource>, TargetProcess&) override {}
};

class Target {
 public:
  explicit Target(const std::vector<CfiFunction>& functions, bool is_signal = false,
                  ManagedCode* managed = nullptr)
      : unwinder_(process_, files_, false, managed) {
    process_.MapAnonymous(kCode, 0x1000);
    process_.MapFile(kFile, testing::MakeCfiImage(0x3000, functions, is_signal));
    StackCopy& copy = snapshot.stacks[0];
    copy.start = kStack - ThreadSnapshot::kRedZone;
    copy.bytes.resize(0x2000);
    snapshot.registers.values[Numbers::kSp] = kStack;
  }

  void PutWord(std::uint64_t address, std::uint64_t value) {
    StackCopy& copy = snapshot.stacks[0];
    std::memcpy(copy.bytes.data() + (address - copy.start), &value, sizeof(value));
  }
  void PutCode(std::uint64_t address, std::uint32_t instruction) {
    process_.fake_memory.Put(address, instruction);
  }
  /// A call that ends at `address`.
  void PutCallBefore(std::uint64_t address) {
    if (kCallPushes) {
      process_.fake_memory.Put(address - 5, std::uint8_t{0xe8});
    } else {
      PutCode(address - 4, 0x94000000);
    }
  }

  /// The addresses of all frames, of the leaf first, relative to their files.
  std::vector<std::uint64_t> Walk() {
    const SystemClock clock;
    const MonotonicTime give_up = clock.Now() + std::chrono::seconds(20);
    do {
      stack_.clear();
      result = unwinder_.Walk(snapshot, clock.Now(), stack_);
    } while (result.end == WalkEnd::kNotReady && clock.Now() < give_up);
    std::vector<std::uint64_t> addresses;
    for (const Frame& frame : stack_) addresses.push_back(frame.address);
    return addresses;
  }

  ThreadSnapshot snapshot;
  WalkResult result;

 private:
  testing::FakeProcess process_;
  Nobody nobody_;
  CodeFiles files_{nobody_};
  Unwinder unwinder_;
  Stack stack_;
};

using Addresses = std::vector<std::uint64_t>;

TEST_CASE("Unwinder: by the stack pointer, with signed return addresses") {
  Target target({{kLeaf, 0x100, FrameOf32()}, {kMiddle, 0x100, FrameOf32()}, Root()});
  target.snapshot.registers.values[Numbers::kPc] = kFile + kLeaf + 8;
  target.PutWord(kStack + kRecord + 8, (kFile + kMiddle + 0x40) | kPac);
  target.PutWord(kStack + 32 + kRecord + 8, (kFile + kRoot + 0x40) | kPac);
  CHECK(target.Walk() == Addresses{kLeaf + 8, kMiddle + 0x3f, kRoot + 0x3f});
  CHECK(target.result.end == WalkEnd::kRoot);
  CHECK(target.result.stack_end == kStack + 64 + 16);
}

TEST_CASE("Unwinder: a stack that was not copied whole") {
  Target target({{kLeaf, 0x100, FrameOf32()}, Root()});
  target.snapshot.registers.values[Numbers::kPc] = kFile + kLeaf + 8;
  target.snapshot.stacks[0].bytes.resize(ThreadSnapshot::kRedZone + 8);
  CHECK(target.Walk() == Addresses{kLeaf + 8});
  CHECK(target.result.end == WalkEnd::kTruncated);
}

TEST_CASE("Unwinder: code without rules goes by frame pointers") {
  Target target({{kMiddle, 0x100, FrameOf32()}, Root()});
  target.snapshot.registers.values[Numbers::kPc] = kCode + 0x100;
  target.snapshot.registers.values[Numbers::kFp] = kStack + 0x20;
  target.PutWord(kStack + 0x20, kStack + 0x60);
  target.PutWord(kStack + 0x28, (kCode + 0x200) | kPac);
  target.PutCallBefore(kCode + 0x200);
  target.PutWord(kStack + 0x60, 0);
  target.PutWord(kStack + 0x68, 0);
  CHECK(target.Walk() == Addresses{kCode + 0x100, kCode + 0x1ff});
  CHECK(target.result.end == WalkEnd::kRoot);

  SECTION("what does not follow a call is no return address") {
    target.PutWord(kStack + 0x28, kCode + 0x300);
    CHECK(target.Walk() == Addresses{kCode + 0x100});
    CHECK(target.result.end == WalkEnd::kLost);
  }
  SECTION("a caller with a rule: its stack pointer is known, or found by its record") {
    const std::uint64_t caller_sp = kCallPushes ? kStack + 0x70 : kStack + 0x90;
    target.PutCallBefore(kFile + kMiddle + 0x40);
    target.PutWord(kStack + 0x60, caller_sp + kRecord);
    target.PutWord(kStack + 0x68, kFile + kMiddle + 0x40);
    target.PutWord(caller_sp + kRecord + 8, kFile + kRoot + 0x40);
    CHECK(target.Walk() == Addresses{kCode + 0x100, kCode + 0x1ff, kMiddle + 0x3f, kRoot + 0x3f});
    CHECK(target.result.end == WalkEnd::kRoot);
    CHECK(target.result.stack_end == caller_sp + 32 + 16);
  }
}

void ThroughSignalFrame(bool has_rule) {
  // The handler has returned to the code that ends it.
  const std::uint64_t trampoline = has_rule ? kFile + kMiddle : kCode + 0x400;
  Target target(
      has_rule ? std::vector<CfiFunction>{{kMiddle, 0x100, {}}} : std::vector<CfiFunction>{},
      has_rule);
  if (kCallPushes) {
    target.PutCode(kCode + 0x400, 0x0fc0c748);
    target.PutCode(kCode + 0x404, 0x0f000000);
    target.PutCode(kCode + 0x408, 0x05);
  } else {
    target.PutCode(kCode + 0x400, 0xd2801168);
    target.PutCode(kCode + 0x404, 0xd4000001);
  }
  target.snapshot.registers.values[Numbers::kPc] = kCode + 0x100;
  target.snapshot.registers.values[Numbers::kFp] = kStack + 0x20;
  target.PutWord(kStack + 0x20, 0);
  target.PutWord(kStack + 0x28, trampoline);
  // Where a call pushes, the signal frame begins behind the return address; else it is the caller's
  // stack pointer, which only the record's end bounds: put it there.
  const std::uint64_t frame = kStack + 0x30;
  const auto offsets = SignalFrameOffsets();
  target.PutWord(frame + offsets[Numbers::kPc], kCode + 0x500);
  target.PutWord(frame + offsets[Numbers::kSp], kStack + 0x1000);
  target.PutWord(frame + offsets[Numbers::kFp], 0);
  if (has_rule) {
    // Nothing but the code tells that something returns there.
    target.PutCallBefore(trampoline);
  }
  const std::uint64_t address = has_rule ? kMiddle : trampoline;
  CHECK(target.Walk() == Addresses{kCode + 0x100, address, kCode + 0x500});
  CHECK(target.result.end == WalkEnd::kRoot);
}

TEST_CASE("Unwinder: through a signal frame, to the instruction that was interrupted") {
  SECTION("known by its rule") { ThroughSignalFrame(true); }
  SECTION("known by its code") { ThroughSignalFrame(false); }
}

TEST_CASE("Unwinder: a sleeper's return address in a register is not known") {
  Target target({{kLeaf, 0x100, {kInRegister, Numbers::kReturnColumn, 5}}, Root()});
  target.snapshot.registers.values[Numbers::kPc] = kFile + kLeaf + 8;
  target.snapshot.registers.values[5] = kFile + kRoot + 8;
  CHECK(target.Walk() == Addresses{kLeaf + 8, kRoot + 7});
  CHECK(target.result.end == WalkEnd::kRoot);
  target.snapshot.is_of_sleeper = true;
  CHECK(target.Walk() == Addresses{kLeaf + 8});
  CHECK(target.result.end == WalkEnd::kComplex);
}

TEST_CASE("Unwinder: the slow path, and expressions that run in circles") {
  // The CFA by DW_OP_breg(sp) 16, DW_OP_nop, which is not for tables.
  const CfiProgram program = {kCfaExpression, 3, static_cast<std::uint8_t>(0x70 + Numbers::kSp), 16,
                              0x96};
  CfiProgram function = program;
  if (!kCallPushes) {
    function.insert(function.end(),
                    {static_cast<std::uint8_t>(kOffset | Numbers::kReturnColumn), 1});
  }
  SECTION("a step") {
    Target target({{kLeaf, 0x100, function}, Root()});
    target.snapshot.registers.values[Numbers::kPc] = kFile + kLeaf + 8;
    target.PutWord(kStack + 8, kFile + kRoot + 8);
    CHECK(target.Walk() == Addresses{kLeaf + 8, kRoot + 7});
    CHECK(target.result.end == WalkEnd::kRoot);
  }
  SECTION("in circles") {
    // DW_OP_skip to itself.
    Target target({{kLeaf, 0x100, {kCfaExpression, 3, 0x2f, 0xfd, 0xff}}, Root()});
    target.snapshot.registers.values[Numbers::kPc] = kFile + kLeaf + 8;
    CHECK(target.Walk() == Addresses{kLeaf + 8});
    CHECK(target.result.end == WalkEnd::kComplex);
  }
}

TEST_CASE("Unwinder: the link register is a leaf's return address, and nobody else's") {
  if (kCallPushes) return;
  Target target({{kLeaf, 0x100, {kCfaOffset, 0}}, {kMiddle, 0x100, {kCfaOffset, 16}}, Root()});
  Registers& registers = target.snapshot.registers;
  registers.values[Numbers::kPc] = kFile + kLeaf + 8;
  registers.values[Numbers::kReturnColumn] = (kFile + kRoot + 0x40) | kPac;
  CHECK(target.Walk() == Addresses{kLeaf + 8, kRoot + 0x3f});
  CHECK(target.result.end == WalkEnd::kRoot);

  SECTION("a caller without its own") {
    registers.values[Numbers::kReturnColumn] = kFile + kMiddle + 0x40;
    CHECK(target.Walk() == Addresses{kLeaf + 8, kMiddle + 0x3f});
    CHECK(target.result.end == WalkEnd::kLost);
  }
  SECTION("a sleeper's is not known") {
    target.snapshot.is_of_sleeper = true;
    CHECK(target.Walk() == Addresses{kLeaf + 8});
    CHECK(target.result.end == WalkEnd::kComplex);
  }
  SECTION("of code without rules, at its first instruction") {
    target.PutCode(kCode + 0x100, 0xa9be7bfd);  // stp x29, x30, [sp, #-32]!
    registers.values[Numbers::kPc] = kCode + 0x100;
    target.PutCallBefore(kFile + kRoot + 0x40);
    CHECK(target.Walk() == Addresses{kCode + 0x100, kRoot + 0x3f});
    CHECK(target.result.end == WalkEnd::kRoot);
    CHECK(target.result.stack_end == kStack + 16);
  }
}

TEST_CASE("Unwinder: a leaf that a signal interrupted") {
  if (kCallPushes) return;
  Target target({{kLeaf, 0x100, {kCfaOffset, 0}}, Root()});
  target.PutCode(kCode + 0x400, 0xd2801168);
  target.PutCode(kCode + 0x404, 0xd4000001);
  target.snapshot.registers.values[Numbers::kPc] = kCode + 0x400;
  const auto offsets = SignalFrameOffsets();
  target.PutWord(kStack + offsets[Numbers::kPc], kFile + kLeaf + 8);
  target.PutWord(kStack + offsets[Numbers::kSp], kStack + 0x1000);
  target.PutWord(kStack + offsets[Numbers::kReturnColumn], (kFile + kRoot + 8) | kPac);
  CHECK(target.Walk() == Addresses{kCode + 0x400, kLeaf + 8, kRoot + 7});
  CHECK(target.result.end == WalkEnd::kRoot);
}

// Says the same of all code.
class Runtime final : public ManagedCode {
 public:
  ManagedStep answer = ManagedStep::kCaller;
  std::uint64_t caller = 0;
  std::uint64_t frame_size = 0;

  ManagedStep Step(const ThreadSnapshot& /*snapshot*/, bool /*is_exact*/, Registers& registers,
                   std::uint32_t& /*known*/, Stack& frames) override {
    if (answer != ManagedStep::kCaller) return answer;
    frames.push_back({.address = registers.pc()});
    registers.values[Numbers::kPc] = caller;
    registers.values[Numbers::kSp] += frame_size;
    return answer;
  }
};

TEST_CASE("Unwinder: code that a runtime has compiled") {
  Runtime runtime;
  Target target({Root()}, false, &runtime);
  Registers& registers = target.snapshot.registers;
  registers.values[Numbers::kPc] = kCode + 0x100;
  target.PutCallBefore(kFile + kRoot + 0x40);
  SECTION("a method, with a frame or none yet") {
    runtime.caller = kFile + kRoot + 0x40;
    runtime.frame_size = GENERATE(0u, 32u);
    CHECK(target.Walk() == Addresses{kCode + 0x100, kRoot + 0x3f});
    CHECK(target.result.end == WalkEnd::kRoot);
  }
  SECTION("a method that nobody has called") {
    runtime.caller = kFile + kRoot + 0x50;
    runtime.frame_size = 32;
    CHECK(target.Walk() == Addresses{kCode + 0x100});
    CHECK(target.result.end == WalkEnd::kLost);
  }
  SECTION("a stub between two methods") {
    runtime.answer = ManagedStep::kStub;
    target.PutWord(kStack, kFile + kRoot + 0x40);
    if (!kCallPushes) registers.values[Numbers::kReturnColumn] = (kFile + kRoot + 0x40) | kPac;
    CHECK(target.Walk() == Addresses{kRoot + 0x3f});
    CHECK(target.result.end == WalkEnd::kRoot);
  }
  SECTION("code that it does not know, which may have called") {
    if (kCallPushes) return;
    runtime.answer = ManagedStep::kNotMine;
    registers.values[Numbers::kReturnColumn] = kFile + kRoot + 0x40;
    CHECK(target.Walk().front() == kCode + 0x100);
  }
}

}  // namespace
}  // namespace agent::unwind
