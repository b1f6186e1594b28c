// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "agent/process/registers.h"
#include "spies/unwind/unwind_table.h"
#include "tests/support/catch.h"
#include "tests/support/cfi_bytes.h"

#if defined(__x86_64__)
namespace agent::unwind {
namespace {

constexpr unsigned kRbx = 3;
constexpr unsigned kRbp = 6;
constexpr unsigned kRsp = 7;

UnwindTable Compile(const Bytes& section, std::uint64_t code_size = 0x1000,
                    std::string_view name = ".eh_frame") {
  const auto elf = ElfFile::OpenBytes(ElfWithSection(name, section, code_size));
  REQUIRE(elf.has_value());
  auto table = UnwindTable::Compile(*elf);
  REQUIRE(table.has_value());
  return *std::move(table);
}

UnwindTable CompileProgram(const Bytes& program, std::string_view augmentation = "zR",
                           const Bytes& first = {}) {
  Bytes section = UsualCie(augmentation, first);
  return Compile(section.Append(UsualFde(section.size(), kCodeStart, 0x100, program)));
}

UnwindRule At(const UnwindTable& table, std::uint64_t offset) {
  return table.Find(ElfAddress{kCodeStart + offset});
}

// The rule after the program, which begins at the function's first instruction.
UnwindRule RuleAfter(const Bytes& program) { return At(CompileProgram(program), 0); }

bool IsCfa(const UnwindRule& rule, unsigned number, std::int32_t offset) {
  return rule.cfa == CfaKind::kRegister && rule.cfa_register == number && rule.cfa_offset == offset;
}

const Saved kAtMinus16{SavedKind::kAtCfa, -16};

Bytes Expression(unsigned opcode, const Bytes& expression) {
  return Bytes().U8(opcode).Uleb(expression.size()).Append(expression);
}

}  // namespace

TEST_CASE("unwind table: rows follow the advances") {
  const UnwindTable table = CompileProgram(Bytes()
                                               .List({0x41, 0x0e, 16})
                                               .List({0x02, 4, 0x0e, 24})
                                               .U8(0x03)
                                               .U16(8)
                                               .List({0x0e, 32})
                                               .U8(0x04)
                                               .U32(16)
                                               .List({0x0e, 8}));
  CHECK(table.malformed() == 0);
  CHECK(IsCfa(At(table, 0), kRsp, 8));
  CHECK(IsCfa(At(table, 1), kRsp, 16));
  CHECK(IsCfa(At(table, 4), kRsp, 16));
  CHECK(IsCfa(At(table, 5), kRsp, 24));
  CHECK(IsCfa(At(table, 12), kRsp, 24));
  CHECK(IsCfa(At(table, 13), kRsp, 32));
  CHECK(IsCfa(At(table, 29), kRsp, 8));
  CHECK(IsCfa(At(table, 0xff), kRsp, 8));
  CHECK(At(table, 0x100).cfa == CfaKind::kNone);
  CHECK(table.Find(ElfAddress{kCodeStart - 1}).cfa == CfaKind::kNone);
  CHECK(table.Find(ElfAddress{0}).cfa == CfaKind::kNone);
  CHECK(table.Find(ElfAddress{~std::uint64_t{0}}).cfa == CfaKind::kNone);
  CHECK(At(table, 0).return_address == Saved{SavedKind::kAtCfa, -8});
}

TEST_CASE("unwind table: where registers are saved") {
  CHECK(RuleAfter(Bytes().List({0x86, 2})).fp == kAtMinus16);             // offset
  CHECK(RuleAfter(Bytes().List({0x05, kRbp, 2})).fp == kAtMinus16);       // offset_extended
  CHECK(RuleAfter(Bytes().List({0x11, kRbp}).Sleb(2)).fp == kAtMinus16);  // ..._sf
  CHECK(RuleAfter(Bytes().List({0x11, kRbp}).Sleb(-2)).fp == Saved{SavedKind::kAtCfa, 16});
  CHECK(RuleAfter(Bytes().List({0x2f, kRbp, 2})).fp == Saved{SavedKind::kAtCfa, 16});
  CHECK(RuleAfter(Bytes().List({0x83, 2})).extra == kAtMinus16);
  CHECK(RuleAfter(Bytes().List({0x8c, 2})).fp == Saved{});              // r12: not ours
  CHECK(RuleAfter(Bytes().List({0x86, 2, 0xc6})).fp == Saved{});        // restore
  CHECK(RuleAfter(Bytes().List({0x86, 2, 0x06, kRbp})).fp == Saved{});  // restore_extended
  CHECK(RuleAfter(Bytes().List({0x86, 2, 0x08, kRbp})).fp == Saved{});  // same_value
  CHECK(RuleAfter(Bytes().List({0x07, kRbp})).fp.kind == SavedKind::kUndefined);
  CHECK(RuleAfter(Bytes().List({0x09, kRbp, 12})).fp == Saved{SavedKind::kRegister, 12});
  CHECK(RuleAfter(Bytes().List({0x09, 16, 2})).return_address == Saved{SavedKind::kRegister, 2});
  CHECK(RuleAfter(Bytes().List({0x2e, 32, 0x00, 0x86, 2})).fp == kAtMinus16);  // args_size, nop
}

TEST_CASE("unwind table: restore goes back to what the CIE says") {
  const UnwindTable table =
      CompileProgram(Bytes().List({0x08, kRbp, 0x41, 0xc6}), "zR", Bytes().List({0x86, 2}));
  CHECK(At(table, 0).fp == Saved{});
  CHECK(At(table, 1).fp == kAtMinus16);
}

TEST_CASE("unwind table: the forms of the CFA") {
  CHECK(IsCfa(RuleAfter(Bytes().List({0x0c, kRbp, 16})), kRbp, 16));
  CHECK(IsCfa(RuleAfter(Bytes().List({0x0d, kRbp})), kRbp, 8));
  CHECK(IsCfa(RuleAfter(Bytes().List({0x0c, 10, 0})), 10, 0));
  CHECK(IsCfa(RuleAfter(Bytes().U8(0x0e).Uleb(1000)), kRsp, 1000));
  CHECK(IsCfa(RuleAfter(Bytes().U8(0x13).Sleb(-3)), kRsp, 24));
  CHECK(IsCfa(RuleAfter(Bytes().List({0x12, kRbx}).Sleb(-4)), kRbx, 32));
  // A register that no snapshot has.
  CHECK(RuleAfter(Bytes().List({0x0c, 40, 0})).cfa == CfaKind::kComplex);
}

TEST_CASE("unwind table: remember and restore the state") {
  const UnwindTable table = CompileProgram(
      Bytes().List({0x41, 0x0e, 16, 0x86, 2, 0x41, 0x0a, 0x0e, 8, 0xc6, 0x41, 0x0b}));
  CHECK(IsCfa(At(table, 1), kRsp, 16));
  CHECK(IsCfa(At(table, 2), kRsp, 8));
  CHECK(At(table, 2).fp == Saved{});
  CHECK(IsCfa(At(table, 3), kRsp, 16));  // the CFA as well
  CHECK(At(table, 3).fp == kAtMinus16);
  // Nothing to restore; more than anyone remembers.
  CHECK(CompileProgram(Bytes().U8(0x0b)).malformed() == 1);
  Bytes many;
  for (int i = 0; i < 100; ++i) many.U8(0x0a);
  CHECK(CompileProgram(many).malformed() == 1);
}

TEST_CASE("unwind table: expressions that compilers and linkers write") {
  const UnwindRule plt = RuleAfter(
      Expression(0x0f, Bytes().List({0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22})));
  CHECK(plt.cfa == CfaKind::kPlt);
  CHECK(plt.cfa_offset == 11);
  // rbp - 8, dereferenced: realigned stacks; with an addend: some assembly.
  const UnwindRule deref = RuleAfter(Expression(0x0f, Bytes().List({0x76, 0x78, 0x06})));
  CHECK(deref.cfa == CfaKind::kDeref);
  CHECK(deref.cfa_register == kRbp);
  CHECK(deref.cfa_offset == -8);
  CHECK(deref.cfa_addend == 0);
  const UnwindRule plus =
      RuleAfter(Expression(0x0f, Bytes().U8(0x77).Sleb(152).List({0x06, 0x23, 8})));
  CHECK(plus.cfa == CfaKind::kDeref);
  CHECK(plus.cfa_register == kRsp);
  CHECK(plus.cfa_offset == 152);
  CHECK(plus.cfa_addend == 8);
  // An addend of an earlier rule does not stay.
  CHECK(RuleAfter(Expression(0x0f, Bytes().List({0x76, 0x78, 0x06, 0x23, 8}))
                      .Append(Expression(0x0f, Bytes().List({0x76, 0x78, 0x06}))))
            .cfa_addend == 0);
  CHECK(IsCfa(RuleAfter(Expression(0x0f, Bytes().List({0x77, 0x10}))), kRsp, 16));
  // DW_CFA_expression: rbp saved at rbp + 0.
  CHECK(RuleAfter(Bytes().List({0x10, kRbp, 2, 0x76, 0})).fp == Saved{SavedKind::kAtFp, 0});
}

TEST_CASE("unwind table: other expressions are left to the slow path") {
  for (const Bytes& program :
       {Expression(0x0f, Bytes().List({0x77, 0, 0x38, 0x22})),     // rsp, lit8, plus
        Expression(0x0f, Bytes().List({0x76, 0x78, 0x06, 0x06})),  // dereferenced twice
        Expression(0x0f, Bytes().List({0x76, 0x78, 0x06, 0x23})),  // cut
        Expression(0x0f, {}), Expression(0x0f, Bytes().U8(0x77).Sleb(std::int64_t{1} << 40)),
        Bytes().List({0x10, kRbp, 2, 0x77, 0}),      // rbp at rsp + 0
        Bytes().List({0x10, 16, 3, 0x77, 0, 0x06}),  // return address
        Bytes().List({0x16, kRbp, 2, 0x77, 0}),      // val_expression
        Bytes().List({0x14, kRbp, 2})}) {            // val_offset
    const UnwindTable table = CompileProgram(program);
    CHECK(At(table, 0).cfa == CfaKind::kComplex);
    CHECK(table.malformed() == 0);
  }
  // Of registers that no caller's rule needs, they do not matter; nor that the CFA is rsp.
  CHECK(IsCfa(RuleAfter(Bytes().List({0x16, 12, 2, 0x77, 0})), kRsp, 8));
  CHECK(IsCfa(RuleAfter(Bytes().List({0x14, kRsp, 0})), kRsp, 8));
  CHECK(RuleAfter(Bytes().List({0x10, kRbx, 2, 0x77, 0})).extra.kind == SavedKind::kUndefined);
}

TEST_CASE("unwind table: roots and signal frames") {
  const UnwindRule root = RuleAfter(Bytes().List({0x07, 16}));
  CHECK(root.return_address.kind == SavedKind::kUndefined);
  CHECK(IsCfa(root, kRsp, 8));
  CHECK(At(CompileProgram({}, "zRS"), 0).cfa == CfaKind::kSignal);
}

TEST_CASE("unwind table: functions that touch, leave a gap, overlap or lie outside") {
  Bytes section = UsualCie();
  const auto add = [&](std::uint64_t start, std::uint64_t size, unsigned cfa) {
    section.Append(UsualFde(section.size(), start, size, Bytes().List({0x0e, cfa})));
  };
  add(kCodeStart + 0x40, 0x20, 24);  // not in order
  add(kCodeStart, 0x40, 16);
  add(kCodeStart + 0x80, 0x20, 32);
  add(kCodeStart + 0x90, 0x40, 40);  // overlaps: the first one counts
  add(0, 0x20, 48);                  // left out by the linker
  add(kCodeStart + 0xff0, 0x20, 56);
  const UnwindTable table = Compile(section);
  CHECK(IsCfa(At(table, 0x3f), kRsp, 16));
  CHECK(IsCfa(At(table, 0x40), kRsp, 24));
  CHECK(At(table, 0x60).cfa == CfaKind::kNone);
  CHECK(IsCfa(At(table, 0x80), kRsp, 32));
  CHECK(IsCfa(At(table, 0x9f), kRsp, 32));
  CHECK(At(table, 0xa0).cfa == CfaKind::kNone);
  CHECK(At(table, 0xff8).cfa == CfaKind::kNone);
  CHECK(table.Find(ElfAddress{0x10}).cfa == CfaKind::kNone);
}

TEST_CASE("unwind table: .debug_frame") {
  Bytes cie;
  cie.U32(0xffffffff).U8(3).Text("").Uleb(4).Sleb(-8).Uleb(16).List({0x0c, 7, 8, 0x90, 1});
  Bytes section = Entry(cie);
  section.Append(Entry(Bytes().U32(0).U64(kCodeStart).U64(0x40).List({0x42, 0x0e, 24})));
  const UnwindTable table = Compile(section, 0x1000, ".debug_frame");
  CHECK(IsCfa(At(table, 7), kRsp, 8));
  CHECK(IsCfa(At(table, 8), kRsp, 24));  // the code alignment is 4
}

TEST_CASE("unwind table: programs that make no sense") {
  const auto malformed = [](const Bytes& program) {
    const UnwindTable table = CompileProgram(program);
    CHECK(At(table, 0x80).cfa == CfaKind::kNone);
    return table.malformed();
  };
  CHECK(malformed(Bytes().U8(0x3f)) == 1);                               // unknown
  CHECK(malformed(Bytes().U8(0x04).U32(0x101)) == 1);                    // past the end
  CHECK(malformed(Bytes().U8(0x0e).Uleb(std::uint64_t{1} << 40)) == 1);  // offset
  CHECK(malformed(Bytes().U8(0x86).Uleb(std::uint64_t{1} << 62)) == 1);  // scaled offset
  CHECK(malformed(Bytes().List({0x0c, 7})) == 1);                        // cut
  CHECK(malformed(Bytes().List({0x0f, 9, 0x77})) == 1);                  // cut expression
  CHECK(malformed(Bytes().U8(0x01).U64(0)) == 1);                        // set_loc backwards
  // What comes before counts.
  const UnwindTable table = CompileProgram(Bytes().List({0x41, 0x0e, 16, 0x44, 0x3f}));
  CHECK(IsCfa(At(table, 0), kRsp, 8));
  CHECK(table.malformed() == 1);
  // The CIE's own program.
  CHECK(CompileProgram({}, "zR", Bytes().U8(0x41)).malformed() == 1);
}

TEST_CASE("unwind table: more rules than a table has room for") {
  constexpr unsigned kRules = 70'000;
  Bytes program;
  for (unsigned i = 0; i < kRules; ++i) program.U8(0x41).U8(0x0e).Uleb(16 + 8 * i);
  Bytes section = UsualCie();
  section.Append(UsualFde(section.size(), kCodeStart, kRules + 1, program));
  const UnwindTable table = Compile(section, kRules + 1);
  CHECK(IsCfa(At(table, 1), kRsp, 16));
  CHECK(IsCfa(At(table, 60'000), kRsp, 16 + 8 * 59'999));
  CHECK(At(table, kRules).cfa == CfaKind::kComplex);
  CHECK(table.rules() <= 65'536);
}

TEST_CASE("unwind table: altered sections") {
  Bytes section = UsualCie("zRS");
  for (unsigned i = 0; i < 8; ++i) {
    section.Append(UsualFde(section.size(), kCodeStart + std::uint64_t{0x100} * i, 0x80,
                            Bytes()
                                .List({0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x50, 0x0c, 7,
                                       8, 0xc6, 0x42, 0x0b})
                                .Append(Expression(0x0f, Bytes().List({0x76, 0x78, 0x06})))));
  }
  std::minstd_rand random(2);
  for (int round = 0; round < 3'000; ++round) {
    Bytes altered;
    std::vector<std::byte> bytes = section.get();
    for (unsigned i = 0; i < 1 + random() % 12; ++i) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random() >> 8);
    }
    for (const std::byte byte : bytes) altered.U8(static_cast<unsigned>(byte));
    const UnwindTable table = Compile(altered);
    for (std::size_t i = 1; i < table.rows(); ++i) {
      REQUIRE(table.RowStart(i - 1) < table.RowStart(i));
    }
    static_cast<void>(table.Find(ElfAddress{random()}));
  }
}

}  // namespace agent::unwind
#endif
