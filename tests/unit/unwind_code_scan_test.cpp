// SPDX-License-Identifier: Apache-2.0
#if defined(__x86_64__)
#include <vector>

#include "agent/process/registers.h"
#include "spies/unwind/code_flow.h"
#include "spies/unwind/instruction.h"
#include "tests/support/catch.h"

namespace agent::unwind {
namespace {

using Kind = InstructionKind;
using Numbers = RegisterNumbers;
using Bytes = std::vector<unsigned>;

constexpr std::uint64_t kStart = 0x1000;
constexpr std::uint64_t kNowhere = 0;

std::vector<std::byte> Code(const Bytes& values) {
  std::vector<std::byte> code;
  for (const unsigned value : values) code.push_back(static_cast<std::byte>(value));
  return code;
}

Instruction Decoded(const Bytes& bytes) {
  const auto instruction = Decode(Code(bytes), kStart);
  REQUIRE(instruction);
  CHECK(instruction->length == bytes.size());
  return *instruction;
}

// The rules of a function at kStart.
class Scanned {
 public:
  explicit Scanned(const Bytes& bytes, std::uint64_t entry = kNowhere,
                   const std::vector<std::uint64_t>& functions = {kStart}) {
    std::vector<CodePiece> pieces;
    pieces.emplace_back(kStart, Code(bytes));
    CodeFlow flow(CodePieces(std::move(pieces)), entry);
    for (const std::uint64_t function : functions) flow.Enter(function);
    flow.Run();
    table_ = UnwindTable::FromRows(flow.Rows());
  }
  [[nodiscard]] const UnwindRule& At(std::uint64_t offset) const {
    return table_.Find(ElfAddress{kStart + offset});
  }
  /// From the stack pointer to the CFA; -1 when that is not known.
  [[nodiscard]] int Distance(std::uint64_t offset) const {
    const UnwindRule& rule = At(offset);
    return rule.cfa == CfaKind::kRegister && rule.cfa_register == Numbers::kSp ? rule.cfa_offset
                                                                               : -1;
  }

 private:
  UnwindTable table_;
};

}  // namespace

TEST_CASE("instruction: lengths") {
  for (const Bytes& bytes :
       std::vector<Bytes>{{0x90},
                          {0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
                          {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8},              // movabs
                          {0x66, 0xb8, 1, 2},                                // mov $0x201, %ax
                          {0x48, 0xc7, 0x84, 0x24, 1, 2, 3, 4, 5, 6, 7, 8},  // movq $, x(%rsp)
                          {0xf6, 0x05, 1, 2, 3, 4, 1},                       // testb $1, x(%rip)
                          {0xf7, 0xd8},                                      // neg %eax
                          {0xf7, 0x04, 0x25, 1, 2, 3, 4, 5, 6, 7, 8},        // testl $, x
                          {0x8b, 0x04, 0xcd, 1, 2, 3, 4},                    // mov x(,%rcx,8), %eax
                          {0x0f, 0xba, 0xe0, 7},                             // bt $7, %eax
                          {0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8},                 // palignr
                          {0x66, 0x0f, 0x38, 0x00, 0xc1},                    // pshufb
                          {0xc5, 0xf8, 0x77},                                // vzeroupper
                          {0xc5, 0xfd, 0x70, 0xc1, 0x1b},                    // vpshufd
                          {0xc4, 0xe3, 0x7d, 0x39, 0xc1, 1},                 // vextracti128
                          {0xc4, 0xe2, 0x71, 0xf7, 0xc0},                    // shlx
                          {0x62, 0xf1, 0x7c, 0x48, 0x10, 0x44, 0x24, 1},  // vmovups 64(%rsp), %zmm0
                          {0x62, 0xf3, 0x7d, 0x48, 0x25, 0xc1, 0xff},     // vpternlogd
                          {0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0},  // mov %fs:40, %rax
                          {0xf0, 0x48, 0x0f, 0xb1, 0x0f}}) {              // lock cmpxchg
    static_cast<void>(Decoded(bytes));
  }
  CHECK_FALSE(Decode(Code({0x06}), 0));           // not in 64-bit mode
  CHECK_FALSE(Decode(Code({0x48, 0x8b}), 0));     // cut off
  CHECK_FALSE(Decode(Code(Bytes(15, 0x66)), 0));  // prefixes only
}

TEST_CASE("instruction: what it does to the stack") {
  CHECK(Decoded({0x55}).kind == Kind::kPush);
  CHECK(Decoded({0x55}).number == Numbers::kFp);
  CHECK(Decoded({0x41, 0x5c}).number == 12);
  CHECK(Decoded({0x48, 0x83, 0xec, 0x18}).value == -0x18);
  CHECK(Decoded({0x48, 0x81, 0xc4, 0, 1, 0, 0}).value == 0x100);
  CHECK(Decoded({0x48, 0x8d, 0x64, 0x24, 0xf8}).kind == Kind::kMoveSp);
  CHECK(Decoded({0x48, 0x89, 0xe5}).kind == Kind::kFpFromSp);
  CHECK(Decoded({0x48, 0x8b, 0xec}).kind == Kind::kFpFromSp);
  CHECK(Decoded({0x48, 0x89, 0xec}).kind == Kind::kSpFromFp);
  CHECK(Decoded({0x48, 0x8d, 0x65, 0xf0}).value == -16);
  CHECK(Decoded({0xc9}).kind == Kind::kLeave);
  CHECK(Decoded({0x31, 0xed}).kind == Kind::kClearFp);
  CHECK(Decoded({0xe8, 1, 0, 0, 0}).target == kStart + 6);
  CHECK(Decoded({0x74, 0xfe}).target == kStart);
  CHECK(Decoded({0xff, 0x25, 1, 2, 3, 4}).kind == Kind::kTailCall);
  CHECK(Decoded({0xff, 0xe0}).kind == Kind::kJumpIndirect);
  // and $-16, %rsp; sub %rax, %rsp; mov %rbx, %rsp
  for (const Bytes& bytes :
       std::vector<Bytes>{{0x48, 0x83, 0xe4, 0xf0}, {0x48, 0x29, 0xc4}, {0x48, 0x89, 0xdc}}) {
    CHECK(Decoded(bytes).writes == 1u << Numbers::kSp);
  }
  CHECK(Decoded({0x48, 0x89, 0xe0}).writes == 0);           // mov %rsp, %rax
  CHECK(Decoded({0x41, 0xbc, 1, 0, 0, 0}).writes == 0);     // mov $1, %r12d
  CHECK(Decoded({0x49, 0x89, 0xec}).kind == Kind::kOther);  // mov %rbp, %r12
  CHECK(Decoded({0xbd, 1, 0, 0, 0}).writes == 1u << Numbers::kFp);
}

TEST_CASE("code scan: pushes, a frame, an early return") {
  // 0 push rbp; 1 push rbx; 2 sub $24; 6 test; 8 je 16; 10 call *rax; 12 lea 1(rax); 16 add $24; 20
  // pop rbx; 21 pop rbp; 22 ret
  const Scanned code({0x55, 0x53, 0x48, 0x83, 0xec, 0x18, 0x85, 0xc0, 0x74, 0x06, 0xff, 0xd0,
                      0x48, 0x8d, 0x40, 0x01, 0x48, 0x83, 0xc4, 0x18, 0x5b, 0x5d, 0xc3});
  CHECK(code.Distance(0) == 8);
  CHECK(code.Distance(1) == 16);
  CHECK(code.Distance(6) == 48);
  CHECK(code.Distance(10) == 48);
  CHECK(code.Distance(20) == 24);
  CHECK(code.Distance(22) == 8);
  CHECK(code.At(10).fp == Saved{SavedKind::kAtCfa, -16});
  CHECK(code.At(10).extra == Saved{SavedKind::kAtCfa, -24});
  CHECK(code.At(22).fp == Saved{});
  CHECK(code.At(23).cfa == CfaKind::kNone);
}

TEST_CASE("code scan: a frame pointer where the stack pointer is lost") {
  // push rbp; mov rbp, rsp; 4 sub rsp, rax; 7 call *rax; 9 leave; 10 ret
  const Scanned code({0x55, 0x48, 0x89, 0xe5, 0x48, 0x29, 0xc4, 0xff, 0xd0, 0xc9, 0xc3});
  CHECK(code.Distance(1) == 16);
  for (const std::uint64_t address : {4u, 7u}) {
    CHECK(code.At(address).cfa_register == Numbers::kFp);
    CHECK(code.At(address).cfa_offset == 16);
  }
  CHECK(code.Distance(10) == 8);
  CHECK(code.At(10).fp == Saved{});
}

TEST_CASE("code scan: nothing where two ways disagree") {
  // 0 je 3; 2 push rax; 3 call *rax; 5 hlt
  const Scanned code({0x74, 0x01, 0x50, 0xff, 0xd0, 0xf4});
  CHECK(code.Distance(2) == 8);
  CHECK(code.At(3).cfa == CfaKind::kNone);
}

TEST_CASE("code scan: a switch's block has what its way to the return says") {
  // 0 push rbx; 1 sub $16; 5 jmp *rax; 7 call *rcx; 9 add $16; 13 pop rbx; 14 ret
  const Scanned code(
      {0x53, 0x48, 0x83, 0xec, 0x10, 0xff, 0xe0, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x10, 0x5b, 0xc3});
  CHECK(code.Distance(7) == 32);
  CHECK(code.At(7).extra == Saved{SavedKind::kAtCfa, -16});
  CHECK(code.Distance(14) == 8);
}

TEST_CASE("code scan: behind a call that never returns") {
  // 0 sub $8; 4 call 15 (hlt); 9 push rax; 10 call *rax; 12 pop rax; 13 ret; 15 hlt
  const Bytes bytes = {0x48, 0x83, 0xec, 0x08, 0xe8, 6,    0,    0,
                       0,    0x50, 0xff, 0xd0, 0x58, 0xc3, 0xcc, 0xf4};
  const Scanned code(bytes);
  CHECK(code.Distance(4) == 16);
  CHECK(code.Distance(9) == 8);  // by itself
  CHECK(code.Distance(10) == 16);
}

TEST_CASE("code scan: where the kernel begins, and threads") {
  // xor ebp, ebp; call *rax; hlt
  const Bytes bytes = {0x31, 0xed, 0xff, 0xd0, 0xf4};
  CHECK(Scanned(bytes).At(2).return_address.kind == SavedKind::kUndefined);
  CHECK(Scanned(bytes).Distance(0) == 8);
  CHECK(Scanned(bytes, kStart, {}).At(0).return_address.kind == SavedKind::kUndefined);
  // push rbp first: a function that computes with it.
  CHECK(Scanned({0x55, 0x31, 0xed, 0xff, 0xd0, 0x5d, 0xc3}).Distance(3) == 16);
  // A signal's return is no function.
  CHECK(Scanned({0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05, 0xc3}).At(0).cfa == CfaKind::kNone);
}

}  // namespace agent::unwind
#endif
