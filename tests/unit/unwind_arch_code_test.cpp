// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "spies/unwind/machine_code.h"
#include "tests/support/catch.h"

namespace agent::unwind {
namespace {

#if defined(__aarch64__)

std::vector<std::byte> Code(std::initializer_list<std::uint32_t> instructions) {
  std::vector<std::byte> bytes(instructions.size() * 4);
  std::memcpy(bytes.data(), instructions.begin(), bytes.size());
  return bytes;
}

constexpr std::uint32_t kNop = 0xd503201f;
constexpr std::uint32_t kRet = 0xd65f03c0;
constexpr std::uint32_t kPaciasp = 0xd503233f;
constexpr std::uint32_t kAutiasp = 0xd50323bf;
constexpr std::uint32_t kStp = 0xa9bf7bfd;  // stp x29, x30, [sp, #-16]!
constexpr std::uint32_t kMovFpSp = 0x910003fd;

TEST_CASE("MachineCode: calls of aarch64") {
  // bl; blr x3; blraa x3, sp; blraaz x3; blrab x3, x4
  for (const std::uint32_t call :
       {0x94000010u, 0xd63f0060u, 0xd73f087fu, 0xd63f087fu, 0xd73f0c64u}) {
    CAPTURE(call);
    CHECK(EndsWithCall(Code({kNop, call})));
  }
  // b; br x3; ret; svc
  for (const std::uint32_t other : {0x14000010u, 0xd61f0060u, kRet, 0xd4000001u}) {
    CAPTURE(other);
    CHECK_FALSE(EndsWithCall(Code({kNop, other})));
  }
}

TEST_CASE("MachineCode: first and last instructions of aarch64") {
  const auto setup = [](std::initializer_list<std::uint32_t> before,
                        std::initializer_list<std::uint32_t> after) {
    return SetupAt(Code(before), Code(after));
  };
  CHECK(setup({kNop, kNop}, {kStp, kMovFpSp, kNop, kNop}).in_link_register);
  CHECK(setup({kNop, kNop}, {kPaciasp, kStp, kMovFpSp, kNop}).in_link_register);
  CHECK(setup({kNop, kNop}, {kRet, kNop, kNop, kNop}).in_link_register);
  CHECK(setup({kNop, kNop}, {kAutiasp, kRet, kNop, kNop}).in_link_register);
  CHECK(setup({kPaciasp, kStp}, {kMovFpSp, kNop, kNop, kNop}).return_address == 8);
  CHECK(setup({kPaciasp, kStp}, {kMovFpSp, kNop, kNop, kNop}).saved_fp == 0);
  const FrameSetup middle = setup({kNop, kNop}, {kNop, kRet, kNop, kNop});
  CHECK_FALSE(middle.in_link_register);
  CHECK(middle.return_address < 0);
}

TEST_CASE("MachineCode: signatures of aarch64 return addresses") {
  CHECK(StripReturnAddress(0x00a50000deadbeec) == 0xdeadbeec);
  CHECK(StripReturnAddress(0x0000ffff12345678) == 0x0000ffff12345678);
  CHECK(StripReturnAddress(0) == 0);
}

TEST_CASE("MachineCode: registers of an aarch64 signal frame") {
  const auto offsets = SignalFrameOffsets();
  REQUIRE(offsets.size() == RegisterNumbers::kCount);
  CHECK(offsets[0] == 312);
  CHECK(offsets[RegisterNumbers::kSp] == 312 + 31 * 8);
  CHECK(offsets[RegisterNumbers::kPc] == 312 + 32 * 8);
}

TEST_CASE("MachineCode: system calls of aarch64") {
  Registers registers;
  CHECK(IsFirstOfChild(Code({kNop, 0xd4000001}), registers));
  registers.values[0] = 7;
  CHECK_FALSE(IsFirstOfChild(Code({kNop, 0xd4000001}), registers));
  CHECK(IsSignalReturn(Code({0xd2801168, 0xd4000001})));
  CHECK_FALSE(IsSignalReturn(Code({0xd2801168, kNop})));
}

#else

std::vector<std::byte> Code(std::initializer_list<std::uint8_t> code) {
  std::vector<std::byte> bytes(code.size());
  std::memcpy(bytes.data(), code.begin(), bytes.size());
  return bytes;
}

TEST_CASE("MachineCode: calls of x86-64") {
  CHECK(EndsWithCall(Code({0x90, 0x90, 0x90, 0xe8, 1, 2, 3, 4})));
  CHECK(EndsWithCall(Code({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0})));  // rax
  CHECK(EndsWithCall(Code({0x90, 0x90, 0xff, 0x15, 1, 2, 3, 4})));              // rip
  CHECK(EndsWithCall(Code({0x90, 0xff, 0x94, 0x24, 1, 2, 3, 4})));              // rsp + 32 bits
  CHECK_FALSE(EndsWithCall(Code({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0})));  // jmp rax
  CHECK_FALSE(EndsWithCall(Code({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90})));
}

TEST_CASE("MachineCode: first and last instructions of x86-64") {
  const auto nop = Code({0x90, 0x90, 0x90, 0x90});
  CHECK(SetupAt(nop, Code({0x55, 0x48, 0x89, 0xe5})).return_address == 0);
  CHECK(SetupAt(nop, Code({0xc3})).return_address == 0);
  CHECK(SetupAt(Code({0x90, 0x55}), Code({0x48, 0x89, 0xe5})).return_address == 8);
  CHECK(SetupAt(nop, Code({0x5d, 0xc3})).saved_fp == 0);
  CHECK(SetupAt(nop, nop).return_address < 0);
}

#endif

}  // namespace
}  // namespace agent::unwind
