// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/unwind_table.h"
#include "tests/support/catch.h"
#include "tests/support/cfi_image.h"

namespace agent::unwind {
namespace {

using testing::CfiProgram;
using testing::MakeCfiImage;

TEST_CASE("UnwindTable: signed return addresses change nothing") {
  for (const std::uint8_t opcode : {std::uint8_t{0x2c}, std::uint8_t{0x2d}}) {
    // In between, the CFA moves.
    const CfiProgram program = {opcode, 0x44, 0x0e, 32, opcode, 0x44, 0x0e, 48};
    const auto elf = ElfFile::OpenBytes(MakeCfiImage(0x3000, {{0x2000, 0x100, program}}));
    REQUIRE(elf);
    const auto table = UnwindTable::Compile(*elf);
    REQUIRE(table);
    CHECK(table->malformed() == 0);
    CHECK(table->Find(ElfAddress{0x2000}).cfa_offset == 16);
    CHECK(table->Find(ElfAddress{0x2004}).cfa_offset == 32);
    CHECK(table->Find(ElfAddress{0x2008}).cfa_offset == 48);
    CHECK(table->Find(ElfAddress{0x2100}).cfa == CfaKind::kNone);
  }
}

TEST_CASE("UnwindTable: more different rules than it can number") {
  constexpr std::uint32_t kRules = 70'000;
  CfiProgram program;
  for (std::uint32_t i = 1; i <= kRules; ++i) {
    program.push_back(0x41);  // DW_CFA_advance_loc 1, DW_CFA_def_cfa_offset
    program.push_back(0x0e);
    program.push_back(static_cast<std::uint8_t>(0x80 | (i & 0x7f)));
    program.push_back(static_cast<std::uint8_t>(0x80 | (i >> 7 & 0x7f)));
    program.push_back(static_cast<std::uint8_t>(i >> 14));
  }
  constexpr std::uint64_t kStart = 0x100000;
  const auto elf =
      ElfFile::OpenBytes(MakeCfiImage(kStart + 0x20000, {{kStart, kRules + 1, program}}));
  REQUIRE(elf);
  const auto table = UnwindTable::Compile(*elf);
  REQUIRE(table);
  CHECK(table->rules() <= 65'536);
  CHECK(table->Find(ElfAddress{kStart + 1000}).cfa_offset == 1000);
  CHECK(table->Find(ElfAddress{kStart + kRules}).cfa == CfaKind::kComplex);
}

}  // namespace
}  // namespace agent::unwind
