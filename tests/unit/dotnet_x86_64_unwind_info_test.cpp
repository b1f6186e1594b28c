// SPDX-License-Identifier: Apache-2.0
// UNWIND_INFO and epilogs, on stacks made by hand.
#include <array>
#include <initializer_list>

#include "spies/dotnet/unwind_info.h"
#include "spies/unwind/dotnet_epilog.h"
#include "tests/support/catch.h"

using namespace agent;
using namespace agent::dotnet;

namespace {

using Numbers = RegisterNumbers;

constexpr std::uint64_t kStack = 0x7000'0000;
constexpr std::uint64_t kCode = 0x40'0000;
constexpr std::uint8_t kRbx = 3;
constexpr std::uint64_t kWord = 8;

std::vector<std::byte> Bytes(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

// A stack whose word number i (from kStack) holds 0x100 + i.
struct Fixture {
  ThreadSnapshot snapshot;
  Registers registers;
  std::uint32_t known = ~0u;
  Fixture() {
    StackCopy& copy = snapshot.stacks[0];
    copy.start = kStack;
    copy.bytes.resize(64 * kWord);
    for (std::uint64_t i = 0; i < 64; ++i) {
      const std::uint64_t word = 0x100 + i;
      std::memcpy(copy.bytes.data() + i * 8, &word, 8);
    }
    registers.values[Numbers::kSp] = kStack;
    registers.values[Numbers::kFp] = kStack + 0x80;
    registers.values[Numbers::kPc] = kCode;
  }
  void Undo(const std::vector<std::byte>& info, std::uint32_t offset) {
    const auto parsed = UnwindInfo::Parse(info);
    REQUIRE(parsed);
    REQUIRE(parsed->Undo(snapshot, offset, registers.values, known));
  }
  bool Finish(std::initializer_list<int> code,
              std::optional<unwind::CodeBounds> bounds = unwind::CodeBounds{kCode - 0x20,
                                                                            kCode + 0x20}) {
    const auto result = unwind::FinishEpilog(snapshot, Bytes(code), bounds, registers);
    REQUIRE(result);
    return *result;
  }
  [[nodiscard]] std::uint64_t Word(std::size_t index) const { return 0x100 + index; }
};

// push rbp; push rbx; sub rsp, 0x18 (prolog of 6 bytes)
const std::vector<std::byte> kPushes = Bytes({0x01, 6, 3, 0, 6, 0x22, 2, 0x30, 1, 0x50});

}  // namespace

TEST_CASE("dotnet unwind: in the body all of the prolog is undone") {
  Fixture f;
  f.Undo(kPushes, 20);
  CHECK(f.registers.values[kRbx] == f.Word(3));
  CHECK(f.registers.fp() == f.Word(4));
  CHECK(f.registers.pc() == f.Word(5));
  CHECK(f.registers.sp() == kStack + 6 * kWord);
}

TEST_CASE("dotnet unwind: in the prolog only what it has done") {
  Fixture f;
  SECTION("nothing") {
    f.Undo(kPushes, 0);
    CHECK(f.registers.pc() == f.Word(0));
    CHECK(f.registers.fp() == kStack + 0x80);
  }
  SECTION("one push") {
    f.Undo(kPushes, 1);
    CHECK(f.registers.fp() == f.Word(0));
    CHECK(f.registers.pc() == f.Word(1));
  }
  SECTION("both") {
    f.Undo(kPushes, 2);
    CHECK(f.registers.values[kRbx] == f.Word(0));
    CHECK(f.registers.fp() == f.Word(1));
    CHECK(f.registers.pc() == f.Word(2));
  }
}

TEST_CASE("dotnet unwind: from a frame pointer, and what is saved above it") {
  Fixture f;
  SECTION("small") {  // frame register rbp, offset 2 * 16
    f.Undo(Bytes({0x01, 8, 3, 0x25, 8, 0x03, 4, 0x42, 1, 0x50}), 9);
    // rbp - 32, then 40 bytes, then rbp
    CHECK(f.registers.fp() == f.Word((0x80 - 32 + 40) / 8));
    CHECK(f.registers.sp() == kStack + 0x80 - 32 + 40 + 16);
  }
  SECTION("large") {  // code 11: a number of its own, times 16
    f.Undo(Bytes({0x01, 8, 4, 0xf5, 8, 0x0b, 3, 0, 0, 0, 1, 0x50}), 9);
    CHECK(f.registers.fp() == f.Word((0x80 - 48) / 8));
  }
  SECTION("a register saved by a move") {
    f.Undo(Bytes({0x01, 8, 3, 0, 8, 0x34, 2, 0, 4, 0x22}), 9);
    CHECK(f.registers.values[kRbx] == f.Word(2));
    CHECK(f.registers.pc() == f.Word(3));
  }
  SECTION("large allocations") {
    f.Undo(Bytes({0x01, 8, 2, 0, 8, 0x01, 10, 0}), 9);
    CHECK(f.registers.pc() == f.Word(10));
    Fixture g;
    g.Undo(Bytes({0x01, 8, 3, 0, 8, 0x11, 80, 0, 0, 0}), 9);
    CHECK(g.registers.pc() == g.Word(10));
  }
}

TEST_CASE("dotnet unwind: where the copy of the stack ends") {
  Fixture f;
  f.registers.values[Numbers::kSp] = kStack + 63 * kWord;
  const auto info = UnwindInfo::Parse(kPushes);
  REQUIRE(info);
  const auto done = info->Undo(f.snapshot, 20, f.registers.values, f.known);
  REQUIRE(!done);
  CHECK(done.error().code == Errc::kUnreadable);
}

TEST_CASE("dotnet unwind: what is known of registers") {
  Fixture f;
  f.known = 1u << Numbers::kSp;
  SECTION("those that are restored") {
    f.Undo(kPushes, 20);
    CHECK(f.known == (1u << Numbers::kSp | 1u << Numbers::kFp | 1u << kRbx));
  }
  SECTION("a frame pointer that is lost") {
    const auto info = UnwindInfo::Parse(Bytes({0x01, 8, 3, 0x25, 8, 0x03, 4, 0x42, 1, 0x50}));
    REQUIRE(info);
    const auto done = info->Undo(f.snapshot, 9, f.registers.values, f.known);
    REQUIRE(!done);
    CHECK(done.error().code == Errc::kUnsupported);
  }
}

TEST_CASE("dotnet unwind: bytes that are none") {
  CHECK(!UnwindInfo::Parse(Bytes({})));
  CHECK(!UnwindInfo::Parse(Bytes({2, 0, 0, 0})));           // version 2
  CHECK(!UnwindInfo::Parse(Bytes({0x21, 0, 0, 0})));        // chained
  CHECK(!UnwindInfo::Parse(Bytes({1, 0, 2, 0, 1, 0x50})));  // a code is missing
  CHECK(!UnwindInfo::Parse(Bytes({1, 4, 1, 0, 4, 0x01})));  // its number is
  CHECK(!UnwindInfo::Parse(Bytes({1, 4, 1, 0, 4, 0x0a})));  // machine frame
  CHECK(!UnwindInfo::Parse(Bytes({1, 4, 1, 0, 4, 0x40})));  // pushes rsp
}

TEST_CASE("dotnet epilog: what is left of it is done") {
  Fixture f;
  SECTION("ret") {
    CHECK(f.Finish({0xc3}));
    CHECK(f.registers.pc() == f.Word(0));
    CHECK(f.registers.sp() == kStack + 8);
  }
  SECTION("add rsp, 16; pop rbx; pop r12; pop rbp; ret") {
    CHECK(f.Finish({0x48, 0x83, 0xc4, 0x10, 0x5b, 0x41, 0x5c, 0x5d, 0xc3}));
    CHECK(f.registers.values[kRbx] == f.Word(2));
    CHECK(f.registers.values[12] == f.Word(3));
    CHECK(f.registers.fp() == f.Word(4));
    CHECK(f.registers.pc() == f.Word(5));
  }
  SECTION("vzeroupper; lea rsp, [rbp-16]; pop rbp; rep ret") {
    CHECK(f.Finish({0xc5, 0xf8, 0x77, 0x48, 0x8d, 0x65, 0xf0, 0x5d, 0xf3, 0xc3}));
    CHECK(f.registers.fp() == f.Word(14));
    CHECK(f.registers.pc() == f.Word(15));
  }
  SECTION("add rsp, 32-bit; jmp out of the function") {
    CHECK(f.Finish({0x48, 0x81, 0xc4, 0x08, 0, 0, 0, 0xe9, 0, 1, 0, 0}));
    CHECK(f.registers.pc() == f.Word(1));
  }
  SECTION("tail calls through a register or memory") {
    CHECK(f.Finish({0x5d, 0x48, 0xff, 0xe0}));
    Fixture g;
    CHECK(g.Finish({0x49, 0xff, 0x23}));
    Fixture h;
    CHECK(h.Finish({0xff, 0x25, 1, 2, 3, 4}));
  }
}

TEST_CASE("dotnet epilog: the body is none") {
  Fixture f;
  const auto unchanged = [&] { return f.registers.sp() == kStack && f.registers.pc() == kCode; };
  CHECK(!f.Finish({0xe9, 0x02, 0, 0, 0}));           // a jump within the function
  CHECK(!f.Finish({0xeb, 0x10}));                    // the same, short
  CHECK(!f.Finish({0xff, 0xe0}));                    // a switch
  CHECK(!f.Finish({0x48, 0x83, 0xc4, 0x10, 0x90}));  // not followed by a return
  CHECK(!f.Finish({0x48, 0x83, 0xc4}));              // cut
  CHECK(!f.Finish({}));
  CHECK(unchanged());
}

TEST_CASE("dotnet epilog: a jump in a function whose bounds are not known") {
  Fixture f;
  CHECK(!f.Finish({0xe9, 0, 1, 0, 0}, std::nullopt));
  CHECK(f.Finish({0x5d, 0xe9, 0, 1, 0, 0}, std::nullopt));
  CHECK(f.registers.pc() == f.Word(1));
}
