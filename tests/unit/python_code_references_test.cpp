// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <initializer_list>

#include "spies/python/code_references.h"
#include "tests/support/catch.h"

using namespace agent::python;

namespace {

CodeReferences Read(std::initializer_list<std::uint32_t> instructions) {
  std::vector<std::byte> bytes(instructions.size() * 4 + 3);
  std::memcpy(bytes.data(), instructions.begin(), instructions.size() * 4);
  return ReadReferencesAarch64(bytes, 0x10ff0);
}

using Addresses = std::vector<std::uint64_t>;

}  // namespace

// As aarch64-linux-gnu-objdump has them.
TEST_CASE("Code references: jumps and calls of aarch64") {
  // b +8; b -4; b.ne +16; cbz x1, -8; tbnz w2, #3, +32
  const CodeReferences found = Read({0x14000002, 0x17ffffff, 0x54000081, 0xb4ffffc1, 0x37180102});
  CHECK(found.jumps == Addresses{0x10ff8, 0x10ff0, 0x11008, 0x10ff4, 0x11020});
  CHECK(Read({0x94000004}).calls == Addresses{0x11000});
  CHECK(Read({0xd61f0060, 0xd63f0060, 0xd65f03c0}).jumps.empty());  // br, blr, ret
}

TEST_CASE("Code references: addresses of aarch64") {
  // adrp x3, 0x11000; add x4, x3, #0x128; adr x5, +12; add x6, x7, #8
  const CodeReferences found = Read({0xb0000003, 0x9104a064, 0x10000065, 0x910020e6});
  CHECK(found.data == Addresses{0x11128, 0x11004});
  // adrp x1, -1 page; nop; nop; nop; add x1, x1, #0, in the next page
  CHECK(Read({0xf0ffffe1, 0xd503201f, 0xd503201f, 0xd503201f, 0x91000021}).data ==
        Addresses{0xf000});
}
