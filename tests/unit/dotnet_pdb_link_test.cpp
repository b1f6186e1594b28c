// SPDX-License-Identifier: Apache-2.0
// A module's PE file in memory, made by hand.
#include <array>
#include <cstdint>

#include "spies/dotnet/pdb_link.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::dotnet;

namespace {

constexpr std::uint64_t kStart = 0x7f00'0000'0000;
constexpr std::uint32_t kCodeView = 2;
constexpr std::uint32_t kEmbedded = 17;

struct FakeModule {
  FakeMemory memory;
  Mapping mapping{
      .start = RemoteAddress(kStart), .end = RemoteAddress(kStart + 0x3000), .path = {}};
  std::uint64_t file;  // where it begins
  std::uint64_t headers;
  RemoteAddress metadata;

  explicit FakeModule(std::uint64_t offset = 0, bool wide = true)
      : file(kStart + offset), headers(file + 0x80), metadata(file + 0x600) {
    memory.PutText(file, "MZ");
    memory.Put(file + 0x3c, std::uint32_t{0x80});
    memory.PutText(headers, "PE");
    memory.Put(headers + 6, std::uint16_t{1});
    const std::uint64_t directories = headers + 24 + (wide ? 112 : 96);
    const std::uint64_t section = directories + 128;
    memory.Put(headers + 20, static_cast<std::uint16_t>(section - headers - 24));
    memory.Put(headers + 24, static_cast<std::uint16_t>(wide ? 0x20b : 0x10b));
    memory.Put(directories + 48, std::array<std::uint32_t, 2>{0x2100, 3 * 28});
    memory.Put(directories + 112, std::array<std::uint32_t, 2>{0x2000, 72});
    memory.Put(section + 8, std::array<std::uint32_t, 4>{0x1000, 0x2000, 0x800, 0x400});
    memory.Put(file + 0x400, std::array<std::uint32_t, 4>{72, 2, 0x2200, 0x100});
    PutEntry(0, 16, 0, 0, 0);
    PutEntry(1, kCodeView, 0x12345678, 24 + 17, 0x700);
    PutEntry(2, kEmbedded, 0, 300, 0x780);
    memory.PutText(file + 0x700, "RSDS0123456789abcdef");
    memory.PutText(file + 0x700 + 24, "/src\\obj/App.pdb");
  }
  void PutEntry(std::uint64_t number, std::uint32_t type, std::uint32_t stamp, std::uint32_t size,
                std::uint32_t offset) {
    memory.Put(file + 0x500 + number * 28,
               std::array<std::uint32_t, 7>{0, stamp, 0, type, size, 0, offset});
  }
  Result<PdbLink> Read() { return ReadPdbLink(memory, mapping, metadata); }
};

}  // namespace

TEST_CASE("dotnet PDB link: name, id, and where it is embedded") {
  const std::uint64_t offset = GENERATE(0u, 0x240u, 0xffcu);  // a file; slices of a bundle
  FakeModule module(offset, GENERATE(false, true));
  if (offset != 0) module.memory.PutText(kStart + 0x20, "MZMZ");
  const auto link = module.Read();
  REQUIRE(link);
  CHECK(link->name == "App.pdb");
  CHECK(link->id[0] == std::byte{'0'});
  CHECK(link->id[15] == std::byte{'f'});
  CHECK(link->id[16] == std::byte{0x78});
  CHECK(link->id[19] == std::byte{0x12});
  CHECK(link->embedded == RemoteAddress(module.file + 0x780));
  CHECK(link->embedded_size == 300);
}

TEST_CASE("dotnet PDB link: a module that has none embedded, or names none") {
  FakeModule module;
  module.PutEntry(2, 19, 0, 39, 0x780);
  REQUIRE(module.Read());
  CHECK(module.Read()->embedded_size == 0);
  SECTION("no CodeView") { module.PutEntry(1, 16, 0, 0, 0); }
  SECTION("another form of it") { module.memory.PutText(module.file + 0x700, "NB10"); }
  SECTION("cut off") { module.PutEntry(1, kCodeView, 0, 23, 0x700); }
  SECTION("not mapped") { module.PutEntry(1, kCodeView, 0, 40, 0x8000); }
  CHECK_FALSE(module.Read());
}

TEST_CASE("dotnet PDB link: what is not the module's file") {
  FakeModule module;
  SECTION("other metadata") { module.metadata = module.metadata.Plus(4); }
  SECTION("no DOS header") { module.memory.PutText(module.file, "ZM"); }
  SECTION("no PE header") { module.memory.PutText(module.headers, "EP"); }
  SECTION("headers far away") { module.memory.Put(module.file + 0x3c, ~0u); }
  SECTION("more sections than any has") {
    module.memory.Put(module.headers + 6, std::uint16_t{97});
  }
  SECTION("sections behind what is mapped") {
    module.memory.Put(module.headers + 20, std::uint16_t{0xffff});
  }
  SECTION("a section that does not hold it") {
    module.memory.Put(module.headers + 24 + 240 + 16, std::uint32_t{0xff});
  }
  SECTION("a file that is not there") { module.memory.Unmap(module.file); }
  CHECK_FALSE(module.Read());
}
