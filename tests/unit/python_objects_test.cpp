// SPDX-License-Identifier: Apache-2.0
#include "spies/python/objects.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kObject = 0x5000;
const Layout& kLayout = *TableLayout(Version{0x030c01f0});

std::uint32_t State(unsigned kind, bool ascii) {
  return kind << 2 | 1u << 5 | (ascii ? 1u : 0u) << 6;
}

}  // namespace

TEST_CASE("strings of every kind become UTF-8") {
  FakeMemory memory;
  const auto read = [&] { return ReadString(memory, kLayout, RemoteAddress(kObject)); };
  SECTION("ascii") {
    memory.Put(kObject + 16, std::uint64_t{4});
    memory.Put(kObject + 32, State(1, true));
    memory.PutText(kObject + 40, "main");
    CHECK(read().value() == "main");
  }
  SECTION("latin-1") {
    memory.Put(kObject + 16, std::uint64_t{2});
    memory.Put(kObject + 32, State(1, false));
    memory.PutText(kObject + 56, "\xe9x");
    CHECK(read().value() == "éx");
  }
  SECTION("two bytes a character, one of them a lone surrogate") {
    memory.Put(kObject + 16, std::uint64_t{3});
    memory.Put(kObject + 32, State(2, false));
    memory.Put(kObject + 56, std::uint16_t{0x43f});
    memory.Put(kObject + 58, std::uint16_t{0xd800});
    memory.Put(kObject + 60, std::uint16_t{0x20ac});
    CHECK(read().value() == "п\xef\xbf\xbd€");
  }
  SECTION("four bytes a character") {
    memory.Put(kObject + 16, std::uint64_t{1});
    memory.Put(kObject + 32, State(4, false));
    memory.Put(kObject + 56, std::uint32_t{0x1f4a9});
    CHECK(read().value() == "💩");
  }
  SECTION("longer than a name can be") {
    memory.Put(kObject + 16, std::uint64_t{1} << 60);
    memory.Put(kObject + 32, State(1, true));
    memory.PutText(kObject + 40, std::string(4096, 'a'));
    CHECK(read().value() == std::string(4096, 'a') + "…");
  }
  SECTION("no str at all") {
    memory.Put(kObject + 16, std::uint64_t{4});
    memory.Put(kObject + 32, std::uint32_t{0});
    CHECK(read().error().code == Errc::kMalformed);
  }
}

TEST_CASE("bytes objects are bounded") {
  FakeMemory memory;
  memory.Put(kObject + 16, std::uint64_t{3});
  memory.PutText(kObject + 32, "abc");
  CHECK(ReadBytes(memory, kLayout, RemoteAddress(kObject)).value().size() == 3);
  memory.Put(kObject + 16, std::uint64_t{1} << 40);
  CHECK(ReadBytes(memory, kLayout, RemoteAddress(kObject)).error().code == Errc::kLimit);
}
