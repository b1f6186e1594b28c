// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <vector>

#include "agent/process/thread_snapshot.h"
#include "spies/unwind/machine_code.h"
#include "tests/support/catch.h"

namespace agent {
namespace {

std::vector<std::byte> Code(std::initializer_list<unsigned> values) {
  std::vector<std::byte> code;
  for (const unsigned value : values) code.push_back(static_cast<std::byte>(value));
  return code;
}

}  // namespace

TEST_CASE("stack copy: words at its edges") {
  ThreadSnapshot snapshot;
  CHECK_FALSE(snapshot.ReadWord(0));
  snapshot.stacks[0] = {.start = 0x1000, .bytes = std::vector<std::byte>(24)};
  snapshot.stacks[0].bytes[16] = std::byte{7};
  CHECK(snapshot.ReadWord(0x1000) == 0);
  CHECK(snapshot.ReadWord(0x1010) == 7);
  CHECK(snapshot.ReadWord(0x1009) == std::uint64_t{7} << 56);  // not aligned
  CHECK_FALSE(snapshot.ReadWord(0x1011));
  CHECK_FALSE(snapshot.ReadWord(0x1018));
  CHECK_FALSE(snapshot.ReadWord(0x0fff));
  CHECK_FALSE(snapshot.ReadWord(0));
  CHECK_FALSE(snapshot.ReadWord(~std::uint64_t{0}));
  CHECK_FALSE(snapshot.ReadWord(~std::uint64_t{0} - 7));
  // Less than a word, and the second piece.
  snapshot.stacks[1] = {.start = 0x9000, .bytes = std::vector<std::byte>(7)};
  CHECK_FALSE(snapshot.ReadWord(0x9000));
  snapshot.stacks[1].bytes.resize(8);
  CHECK(snapshot.ReadWord(0x9000) == 0);
  CHECK_FALSE(snapshot.ReadWord(0x9001));
  // At the end of all addresses.
  snapshot.stacks[0].start = ~std::uint64_t{0} - 15;
  CHECK(snapshot.ReadWord(~std::uint64_t{0} - 15) == 0);
}

#if defined(__x86_64__)
namespace unwind {

TEST_CASE("machine code: calls before a return address") {
  const std::vector<std::vector<std::byte>> calls = {
      Code({0xe8, 1, 2, 3, 4}),                    // call rel32
      Code({0x67, 0xe8, 1, 2, 3, 4}),              // the linker's for call *GOT(%rip)
      Code({0xff, 0xd0}),                          // call *%rax
      Code({0x41, 0xff, 0xd4}),                    // call *%r12
      Code({0x3e, 0xff, 0xd0}),                    // notrack
      Code({0xff, 0x10}),                          // call *(%rax)
      Code({0xff, 0x50, 0x18}),                    // call *24(%rax)
      Code({0xff, 0x90, 0, 1, 0, 0}),              // call *256(%rax)
      Code({0xff, 0x15, 1, 2, 3, 4}),              // call *x(%rip)
      Code({0xff, 0x14, 0xc8}),                    // call *(%rax,%rcx,8)
      Code({0xff, 0x14, 0x24}),                    // call *(%rsp)
      Code({0xff, 0x54, 0x24, 8}),                 // call *8(%rsp)
      Code({0xff, 0x94, 0x24, 0, 1, 0, 0}),        // call *256(%rsp)
      Code({0xff, 0x14, 0xc5, 1, 2, 3, 4}),        // call *x(,%rax,8)
      Code({0xff, 0x55, 0x00}),                    // call *0(%rbp)
      Code({0x41, 0xff, 0x94, 0xc7, 1, 2, 3, 4}),  // call *x(%r15,%rax,8)
  };
  for (std::vector<std::byte> code : calls) {
    code.insert(code.begin(), kLongestCall - code.size(), std::byte{0x90});
    CHECK(EndsWithCall(code));
    // One byte later it is none.
    code.erase(code.begin());
    code.push_back(std::byte{0x90});
    CHECK_FALSE(EndsWithCall(code));
  }
  CHECK_FALSE(EndsWithCall(Code({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90})));
  CHECK_FALSE(EndsWithCall(Code({0x90, 0x90, 0x90, 0xe9, 1, 2, 3, 4})));              // jmp rel32
  CHECK_FALSE(EndsWithCall(Code({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0})));  // jmp *%rax
  CHECK_FALSE(EndsWithCall(Code({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xf0})));  // push %rax
  CHECK_FALSE(EndsWithCall(Code({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x15})));  // cut
  CHECK_FALSE(EndsWithCall({}));
  CHECK_FALSE(EndsWithCall(Code({0xff})));
}

TEST_CASE("machine code: a thread's first instructions") {
  Registers registers;
  CHECK(IsFirstOfChild(Code({0xb8, 56, 0, 0, 0, 0x0f, 0x05}), registers));
  CHECK(IsFirstOfChild(Code({0x0f, 0x05, 0x48, 0x85, 0xc0}), registers));
  CHECK(IsFirstOfChild(Code({0x0f, 0x05, 0x48, 0x85, 0xc0, 0x7c, 0x18}), registers));
  CHECK_FALSE(IsFirstOfChild(Code({0x0f, 0x05, 0x90, 0x90, 0x90}), registers));
  CHECK_FALSE(IsFirstOfChild(Code({0x0f, 0x05, 0x48, 0x85, 0xc0, 0x90, 0x90}), registers));
  CHECK_FALSE(IsFirstOfChild(Code({0x05}), registers));
  registers.values[0] = 7;
  CHECK_FALSE(IsFirstOfChild(Code({0x0f, 0x05, 0x48, 0x85, 0xc0}), registers));
}

TEST_CASE("machine code: returns from signal handlers") {
  CHECK(IsSignalReturn(Code({0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05})));
  CHECK(IsSignalReturn(Code({0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05, 0xf4})));
  CHECK_FALSE(IsSignalReturn(Code({0xb8, 0x0e, 0, 0, 0, 0x0f, 0x05})));
  CHECK_FALSE(IsSignalReturn(Code({0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f})));
  CHECK_FALSE(IsSignalReturn({}));
}

TEST_CASE("machine code: where the caller is at a frame pointer's first and last instructions") {
  const auto nothing = Code({0x90});
  const auto push = Code({0x55});
  CHECK(SetupAt(nothing, Code({0x55, 0x48, 0x89, 0xe5})).return_address == 0);
  CHECK(SetupAt(nothing, Code({0x55, 0x48, 0x8b, 0xec})).return_address == 0);
  CHECK(SetupAt(nothing, Code({0xf3, 0x0f, 0x1e, 0xfa, 0x55})).return_address == 0);
  CHECK(SetupAt(nothing, Code({0x48, 0x85, 0xc0, 0x7c, 24, 0x74, 1, 0xc3})).return_address == 0);
  CHECK(SetupAt(nothing, Code({0x74, 1, 0xc3})).return_address == 0);
  CHECK(SetupAt(nothing, Code({0x48, 0x85, 0xc0, 0x7c, 24, 0x75, 1, 0xc3})).return_address < 0);
  const FrameSetup pushed = SetupAt(push, Code({0x48, 0x89, 0xe5}));
  CHECK(pushed.return_address == 8);
  CHECK(pushed.saved_fp == 0);
  CHECK(SetupAt(push, Code({0x48, 0x8b, 0xec})).return_address == 8);
  // The move alone, and a push of rbp in the middle of a function.
  CHECK(SetupAt(nothing, Code({0x48, 0x89, 0xe5})).return_address < 0);
  CHECK(SetupAt(nothing, Code({0x55, 0x90, 0x90, 0x90})).return_address < 0);
  CHECK(SetupAt(nothing, Code({0x5d, 0xc3})).return_address == 8);
  CHECK(SetupAt(nothing, Code({0xc3})).return_address == 0);
  CHECK(SetupAt(nothing, Code({0xc9, 0xc3})).return_address < 0);  // leave
  CHECK(SetupAt({}, {}).return_address < 0);
}

}  // namespace unwind
#endif

}  // namespace agent
