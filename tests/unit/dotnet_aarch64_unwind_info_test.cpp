// SPDX-License-Identifier: Apache-2.0
// .xdata of arm64, on stacks made by hand.
#include <array>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "spies/dotnet/unwind_info_aarch64.h"
#include "tests/support/catch.h"

using namespace agent;
using namespace agent::dotnet;

namespace {

constexpr std::uint64_t kStack = 0x7000'0000;
constexpr std::size_t kWords = 128;
constexpr std::size_t kFp = 29;
constexpr std::size_t kLr = 30;
constexpr std::size_t kSp = 31;
constexpr std::size_t kPc = 32;
constexpr std::uint64_t kCaller = 0x40'1234;

using Bytes = std::vector<std::byte>;

void Append(Bytes& bytes, std::uint32_t word) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof(word));
  std::memcpy(bytes.data() + at, &word, sizeof(word));
}

struct Scope {
  std::uint32_t begin;  // in instructions
  std::uint32_t codes;
};

void AppendCodes(Bytes& bytes, std::initializer_list<int> codes) {
  for (const int code : codes) bytes.push_back(static_cast<std::byte>(code));
  while (bytes.size() % 4 != 0) bytes.push_back(std::byte{0xe4});
}

std::uint32_t WordsOf(std::initializer_list<int> codes) {
  return static_cast<std::uint32_t>((codes.size() + 3) / 4);
}

Bytes Xdata(std::uint32_t instructions, std::initializer_list<Scope> scopes,
            std::initializer_list<int> codes) {
  Bytes bytes;
  const auto count = static_cast<std::uint32_t>(scopes.size());
  Append(bytes, instructions | count << 22 | WordsOf(codes) << 27);
  for (const Scope& scope : scopes) Append(bytes, scope.begin | scope.codes << 22);
  AppendCodes(bytes, codes);
  return bytes;
}

// With one epilog, which ends the function.
Bytes XdataOfOne(std::uint32_t instructions, std::uint32_t epilog_codes,
                 std::initializer_list<int> codes) {
  Bytes bytes;
  Append(bytes, instructions | 1u << 21 | epilog_codes << 22 | WordsOf(codes) << 27);
  AppendCodes(bytes, codes);
  return bytes;
}

// A stack whose word number i (from kStack) holds 0x100 + i, and registers with their number in
// the upper half.
struct Fixture {
  ThreadSnapshot snapshot;
  std::array<std::uint64_t, Arm64UnwindInfo::kRegisters> registers{};
  std::uint32_t known = ~0u;

  Fixture() {
    StackCopy& copy = snapshot.stacks[0];
    copy.start = kStack;
    copy.bytes.resize(kWords * 8);
    for (std::uint64_t i = 0; i < kWords; ++i) {
      const std::uint64_t word = Word(i);
      std::memcpy(copy.bytes.data() + i * 8, &word, 8);
    }
    for (std::size_t i = 0; i < registers.size(); ++i) registers[i] = Old(i);
    registers[kLr] = kCaller;
    registers[kSp] = kStack;
  }
  Result<void> Try(const Bytes& xdata, std::uint32_t instruction) {
    const auto info = Arm64UnwindInfo::Parse(xdata);
    REQUIRE(info);
    return info->Undo(snapshot, instruction * 4, registers, known);
  }
  void Undo(const Bytes& xdata, std::uint32_t instruction) {
    REQUIRE(Try(xdata, instruction));
    CHECK(registers[kPc] == registers[kLr]);
  }
  static std::uint64_t Word(std::size_t index) { return 0x100 + index; }
  static std::uint64_t Old(std::size_t number) { return std::uint64_t{number} << 32; }
  [[nodiscard]] bool IsMoved(std::uint32_t words) const {
    return registers[kSp] == kStack + std::uint64_t{words} * 8;
  }
  [[nodiscard]] bool IsKept(std::size_t number) const { return registers[number] == Old(number); }
};

// stp fp, lr, [sp, -48]!; stp x19, x20, [sp, 16]; str x21, [sp, 32]; mov fp, sp; ...
// ldr x21, [sp, 32]; ldp x19, x20, [sp, 16]; ldp fp, lr, [sp], 48; ret; and something behind it
const Bytes kOrdinary =
    Xdata(30, {{.begin = 20, .codes = 1}}, {0xe1, 0xd0, 0x84, 0xc8, 0x02, 0x85, 0xe4});

}  // namespace

TEST_CASE("dotnet xdata: in the body all of the prolog is undone") {
  for (const std::uint32_t instruction : {4u, 19u, 24u, 29u}) {
    Fixture f;
    f.registers[kFp] = kStack;
    f.known = 1u << kFp;  // it tells where the stack pointer was
    f.Undo(kOrdinary, instruction);
    CHECK(f.registers[kFp] == f.Word(0));
    CHECK(f.registers[kLr] == f.Word(1));
    CHECK(f.registers[19] == f.Word(2));
    CHECK(f.registers[20] == f.Word(3));
    CHECK(f.registers[21] == f.Word(4));
    CHECK(f.IsKept(22));
    CHECK(f.IsMoved(6));
    CHECK(f.known == (0xe0000000u | 7u << 19));
  }
}

TEST_CASE("dotnet xdata: in the prolog only what it has done") {
  Fixture f;
  SECTION("nothing") {
    f.Undo(kOrdinary, 0);
    CHECK(f.registers[kLr] == kCaller);
    CHECK(f.IsMoved(0));
    CHECK(f.IsKept(kFp));
  }
  SECTION("the frame") {
    f.Undo(kOrdinary, 1);
    CHECK(f.registers[kLr] == f.Word(1));
    CHECK(f.IsMoved(6));
    CHECK(f.IsKept(19));
  }
  SECTION("a pair of registers") {
    f.Undo(kOrdinary, 2);
    CHECK(f.registers[20] == f.Word(3));
    CHECK(f.IsKept(21));
  }
  SECTION("a register") {
    f.Undo(kOrdinary, 3);  // the frame pointer is the caller's still
    CHECK(f.registers[21] == f.Word(4));
    CHECK(f.registers[kFp] == f.Word(0));
  }
}

TEST_CASE("dotnet xdata: in an epilog what is left of it") {
  Fixture f;
  SECTION("all") {
    f.Undo(kOrdinary, 20);
    CHECK(f.registers[21] == f.Word(4));
    CHECK(f.IsMoved(6));
  }
  SECTION("a pair and the frame") {
    f.Undo(kOrdinary, 21);
    CHECK(f.IsKept(21));
    CHECK(f.registers[19] == f.Word(2));
    CHECK(f.IsMoved(6));
  }
  SECTION("the frame") {
    f.Undo(kOrdinary, 22);
    CHECK(f.IsKept(19));
    CHECK(f.registers[kLr] == f.Word(1));
    CHECK(f.IsMoved(6));
  }
  SECTION("the return") {
    f.Undo(kOrdinary, 23);
    CHECK(f.registers[kPc] == kCaller);
    CHECK(f.IsKept(kFp));
    CHECK(f.IsMoved(0));
  }
  SECTION("of the one that ends the function") {
    const Bytes one = XdataOfOne(12, 1, {0xe1, 0xc8, 0x02, 0x83, 0xe4});
    f.registers[kFp] = kStack + 8;
    f.Undo(one, 8);  // the body's end
    CHECK(f.IsMoved(5));
    Fixture g;
    g.Undo(one, 10);
    CHECK(g.IsKept(19));
    CHECK(g.IsMoved(4));
    Fixture h;
    h.Undo(one, 11);
    CHECK(h.registers[kPc] == kCaller);
  }
  SECTION("of several") {
    const Bytes two = Xdata(40, {{.begin = 10, .codes = 0}, {.begin = 30, .codes = 2}},
                            {0x81, 0xe4, 0xc8, 0x02, 0x83, 0xe4});
    f.Undo(two, 11);
    CHECK(f.IsMoved(0));
    f.Undo(two, 12);
    CHECK(f.IsMoved(2));
    Fixture g;
    g.Undo(two, 30);
    CHECK(g.registers[20] == g.Word(3));
    CHECK(g.IsMoved(4));
    Fixture h;
    h.Undo(two, 32);
    CHECK(h.registers[kPc] == kCaller);
  }
}

TEST_CASE("dotnet xdata: sizes of stack and places of the frame pointer") {
  Fixture f;
  SECTION("small") {
    f.Undo(Xdata(20, {}, {0x40, 0x03, 0xe4}), 10);
    CHECK(f.registers[kFp] == f.Word(0));
    CHECK(f.IsMoved(6));
  }
  SECTION("medium, and the frame within it") {
    f.Undo(Xdata(20, {}, {0x42, 0xc0, 0x21, 0xe4}), 10);
    CHECK(f.registers[kFp] == f.Word(2));
    CHECK(f.registers[kLr] == f.Word(3));
    CHECK(f.IsMoved(0x21 * 2));
    Fixture g;
    g.Undo(Xdata(20, {}, {0xc7, 0x01, 0xe4}), 10);
    CHECK(g.IsMoved(0x701 * 2));
  }
  SECTION("large") {
    f.Undo(Xdata(20, {}, {0xe0, 0x12, 0x34, 0x56, 0xe4}), 10);
    CHECK(f.IsMoved(0x123456 * 2));
  }
  SECTION("a frame pointer into the frame") {
    f.registers[kFp] = kStack + 0x90;  // and the stack pointer lies below: localloc
    f.Undo(Xdata(20, {}, {0xe2, 0x02, 0x42, 0x04, 0xe4}), 10);
    CHECK(f.registers[kFp] == f.Word(18));
    CHECK(f.registers[kLr] == f.Word(19));
    CHECK(f.IsMoved(16 + 8));
  }
}

TEST_CASE("dotnet xdata: every way to save registers") {
  Fixture f;
  SECTION("x19 and x20 first, and the pairs behind them") {
    // stp x19, x20, [sp, -64]!; stp x21, x22, [sp, 16]; stp x23, x24, [sp, 32]
    const Bytes next = Xdata(20, {}, {0xe6, 0xe6, 0x28, 0xe4});
    f.Undo(next, 10);
    for (std::size_t i = 0; i < 6; ++i) CHECK(f.registers[19 + i] == f.Word(i));
    CHECK(f.IsKept(25));
    CHECK(f.IsMoved(8));
    Fixture g;
    g.Undo(next, 2);
    CHECK(g.registers[22] == g.Word(3));
    CHECK(g.IsKept(23));
  }
  SECTION("a pair that moves the stack pointer") {
    f.Undo(Xdata(20, {}, {0xcd, 0x43, 0xe4}), 10);  // x24, x25, -32
    CHECK(f.registers[24] == f.Word(0));
    CHECK(f.registers[25] == f.Word(1));
    CHECK(f.IsMoved(4));
  }
  SECTION("a register that does, and lr") {
    f.Undo(Xdata(20, {}, {0xd2, 0xc1, 0xd4, 0x61, 0xe4}), 10);  // x22, -16; lr at 8
    CHECK(f.registers[22] == f.Word(0));
    CHECK(f.registers[kLr] == f.Word(1));
    CHECK(f.IsMoved(2));
  }
  SECTION("a register with lr") {
    f.Undo(Xdata(20, {}, {0xd6, 0x83, 0xe4}), 10);  // x23 at 24
    CHECK(f.registers[23] == f.Word(3));
    CHECK(f.registers[kLr] == f.Word(4));
    CHECK(f.IsMoved(0));
  }
  SECTION("floating point registers, a signature") {
    // d14 at 8; d8, d9 at 16; d10, -16; d12, d13, -32; two nops
    f.Undo(Xdata(20, {}, {0xdd, 0x81, 0xd8, 0x02, 0xde, 0x41, 0xdb, 0x03, 0xe3, 0xfc, 0xe4}), 10);
    CHECK(f.IsMoved(2 + 4));
    for (std::size_t i = 0; i < kLr; ++i) CHECK(f.IsKept(i));
    CHECK(f.registers[kPc] == kCaller);
  }
}

TEST_CASE("dotnet xdata: a large function's later pieces, and many epilogs") {
  Fixture f;
  SECTION("what another function's prolog did") {
    const Bytes piece = Xdata(20, {}, {0xe5, 0x83, 0xe4});
    f.Undo(piece, 0);
    CHECK(f.registers[kLr] == f.Word(1));
    CHECK(f.IsMoved(4));
  }
  SECTION("more than the head has bits for") {
    Bytes xdata;
    Append(xdata, 200);
    Append(xdata, 40u | 1u << 16);
    for (std::uint32_t i = 0; i < 40; ++i) Append(xdata, (10 + 4 * i) | 1u << 22);
    AppendCodes(xdata, {0xe1, 0x81, 0xe4});
    REQUIRE(Arm64UnwindInfo::SizeOf(std::span(xdata).first(8)).value_or(0) == xdata.size());
    f.Undo(xdata, 10 + 4 * 39);
    CHECK(f.IsMoved(2));
    Fixture g;
    g.Undo(xdata, 11 + 4 * 39);
    CHECK(g.IsMoved(0));
  }
}

TEST_CASE("dotnet xdata: how much there is of it") {
  CHECK(Arm64UnwindInfo::SizeOf(std::span(kOrdinary).first(8)).value_or(0) == kOrdinary.size());
  const auto info = Arm64UnwindInfo::Parse(kOrdinary);
  REQUIRE(info);
  CHECK(info->CodeSize({.begin = 0, .unwind_info = 0}) == 30 * 4);
}

TEST_CASE("dotnet xdata: what cannot be known") {
  Fixture f;
  SECTION("the return address of a leaf that is none") {
    f.known &= ~(1u << kLr);
    const auto done = f.Try(Xdata(20, {}, {0x02, 0xe4}), 10);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Errc::kUnsupported);
  }
  SECTION("the stack pointer, by a frame pointer that is lost") {
    f.known &= ~(1u << kFp);
    const auto done = f.Try(kOrdinary, 10);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Errc::kUnsupported);
  }
  SECTION("what was saved, from a stack pointer that is lost") {
    f.known &= ~(1u << kSp);
    const auto done = f.Try(kOrdinary, 2);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Errc::kUnsupported);
  }
  SECTION("what lies beyond the copy of the stack") {
    f.registers[kSp] = kStack + (kWords - 1) * 8;
    const auto done = f.Try(kOrdinary, 3);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Errc::kUnreadable);
  }
}

TEST_CASE("dotnet xdata: bytes that are none") {
  CHECK_FALSE(Arm64UnwindInfo::Parse({}));
  CHECK_FALSE(Arm64UnwindInfo::Parse(std::span(kOrdinary).first(12)));
  Bytes version = kOrdinary;
  version[2] |= std::byte{0x04};
  CHECK_FALSE(Arm64UnwindInfo::SizeOf(version));
  Bytes many;
  Append(many, 20);
  Append(many, 0x1ffff);
  CHECK_FALSE(Arm64UnwindInfo::SizeOf(many));
  CHECK_FALSE(Arm64UnwindInfo::Parse(
      Xdata(20, {{.begin = 10, .codes = 0}, {.begin = 9, .codes = 0}}, {0x02, 0xe4})));
  CHECK_FALSE(Arm64UnwindInfo::Parse(XdataOfOne(2, 0, {0x02, 0x02, 0xe4})));
  Fixture f;
  const auto is_none = [&](std::initializer_list<int> codes) {
    const auto done = f.Try(Xdata(20, {}, codes), 10);
    return !done && done.error().code == Errc::kMalformed;
  };
  CHECK(is_none({0x02, 0x02, 0x02, 0x02}));  // no end
  CHECK(is_none({0x02, 0x02, 0x02, 0xc0}));  // half a code
  CHECK(is_none({0xe9, 0xe4}));              // a machine frame
  CHECK(is_none({0xdf, 0x01, 0xe4}));
  CHECK(is_none({0xff, 0xe4}));
  CHECK(is_none({0xe6, 0xe4}));              // a next pair of nothing
  CHECK(is_none({0xe6, 0x81, 0xe4}));        // of the frame
  CHECK(is_none({0xca, 0x80, 0xe6, 0xe4}));  // x29 and x30 are a pair; what would follow is not
  CHECK(is_none({0xe6, 0xca, 0x80, 0xe4}));  // x29 to x32
  CHECK(is_none({0xd3, 0x40, 0xe4}));        // x32
}
