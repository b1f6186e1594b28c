// SPDX-License-Identifier: Apache-2.0
#include <elf.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "symbolizer/dynamic_symbols.h"
#include "symbolizer/plt_stubs.h"
#include "symbolizer/range_table.h"
#include "symbolizer/symbol_index.h"
#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using agent::testing::AddressOf;
using agent::testing::BytesOf;
using agent::testing::OpenElf;
using agent::testing::SymbolFilePath;

namespace {

ElfSymbol Function(std::uint64_t address, std::uint64_t size, std::string_view name,
                   std::uint8_t binding = STB_GLOBAL) {
  return {.address = address, .size = size, .type = STT_FUNC, .binding = binding, .name = name};
}

ElfSymbol Label(std::uint64_t address, std::uint64_t size, std::string_view name) {
  return {
      .address = address, .size = size, .type = STT_NOTYPE, .binding = STB_GLOBAL, .name = name};
}

SymbolIndex IndexOf(const std::vector<ElfSymbol>& symbols) {
  SymbolIndex index(CodeRanges({{0x1000, 0x2000}, {0x3000, 0x4000}}));
  for (const ElfSymbol& symbol : symbols) index.Add(symbol);
  index.Seal();
  return index;
}

std::string NameAt(const SymbolIndex& index, std::uint64_t address) {
  return std::string(index.Lookup(address).value_or(ElfSymbol{}).name);
}

// A copy of a file without section headers, as sstrip makes it.
std::shared_ptr<std::vector<std::byte>> WithoutSections(const std::string& path) {
  auto bytes = std::make_shared<std::vector<std::byte>>(*BytesOf(path));
  Elf64_Ehdr header;
  std::memcpy(&header, bytes->data(), sizeof(header));
  header.e_shoff = 0;
  header.e_shnum = 0;
  header.e_shstrndx = 0;
  std::memcpy(bytes->data(), &header, sizeof(header));
  return bytes;
}

std::shared_ptr<const ElfFile> OpenBytes(std::shared_ptr<const std::vector<std::byte>> bytes) {
  auto file = ElfFile::OpenBytes(std::move(bytes));
  REQUIRE(file);
  return std::make_shared<const ElfFile>(*std::move(file));
}

bool Has(const DynamicSymbols& table, std::string_view name) {
  return std::ranges::any_of(table.symbols,
                             [name](const ElfSymbol& symbol) { return symbol.name == name; });
}

}  // namespace

TEST_CASE("Range table: of ranges with one start the later added is found first") {
  RangeTable<char> table;
  table.Add(10, 14, 'a');
  table.Add(10, 18, 'b');
  table.Add(12, 13, 'c');
  table.Seal();
  const auto at = [&table](std::uint64_t address) {
    std::string found;
    table.Find(address, [&found](const RangeTable<char>::Entry& entry) {
      found += entry.value;
      return false;
    });
    return found;
  };
  CHECK(at(9).empty());
  CHECK(at(10) == "ba");
  CHECK(at(12) == "cba");
  CHECK(at(14) == "b");
  CHECK(at(18).empty());
}

TEST_CASE("Symbols: one with a size ends there, one without at the next or with its section") {
  const SymbolIndex index = IndexOf({Function(0x1000, 0x10, "sized"), Function(0x1100, 0, "asm"),
                                     Function(0x1200, 8, "next"), Function(0x1f00, 0, "last")});
  CHECK(NameAt(index, 0xfff).empty());
  CHECK(NameAt(index, 0x100f) == "sized");
  CHECK(NameAt(index, 0x1010).empty());
  CHECK(NameAt(index, 0x11ff) == "asm");
  CHECK(NameAt(index, 0x1207) == "next");
  CHECK(NameAt(index, 0x1208).empty());
  CHECK(NameAt(index, 0x1fff) == "last");
  CHECK(NameAt(index, 0x2000).empty());
}

TEST_CASE("Symbols: the best of several names for one place") {
  const auto best = [](std::vector<ElfSymbol> symbols) {
    const std::string name = NameAt(IndexOf(symbols), 0x1004);
    std::ranges::reverse(symbols);
    CHECK(NameAt(IndexOf(symbols), 0x1004) == name);
    return name;
  };
  CHECK(best({Function(0x1000, 8, "local", STB_LOCAL), Function(0x1000, 8, "global_one"),
              Function(0x1000, 8, "weak", STB_WEAK)}) == "global_one");
  CHECK(best({Function(0x1000, 8, "__write"), Function(0x1000, 8, "write", STB_WEAK),
              Function(0x1000, 8, "__libc_write")}) == "write");
  CHECK(best({Function(0x1000, 8, "longer"), Function(0x1000, 8, "short")}) == "short");
  CHECK(best({Function(0x1000, 0, "a"), Function(0x1000, 8, "with_size")}) == "with_size");
  CHECK(best({Function(0x1000, 8, "_ZN1AC2Ev"), Function(0x1000, 8, "_ZN1AC1Ev")}) == "_ZN1AC1Ev");
  CHECK(best({Function(0x1000, 8, "memcpy@@GLIBC_2.14"), Function(0x1000, 8, "__memcpy")}) ==
        "memcpy");
}

TEST_CASE("Symbols: one within another is found, and the outer one behind it") {
  const SymbolIndex index =
      IndexOf({Function(0x1000, 0x100, "outer"), Function(0x1020, 0x10, "inner")});
  CHECK(NameAt(index, 0x1010) == "outer");
  CHECK(NameAt(index, 0x102f) == "inner");
  CHECK(NameAt(index, 0x1030) == "outer");
}

TEST_CASE("Symbols: labels name only what no function covers") {
  const SymbolIndex index = IndexOf({Function(0x1000, 0x20, "function"), Label(0x1010, 0, "inside"),
                                     Label(0x1040, 0, "start"), Label(0x1050, 0, ".Llocal")});
  CHECK(NameAt(index, 0x1018) == "function");
  CHECK(NameAt(index, 0x1020) == "inside");
  CHECK(NameAt(index, 0x1060) == "start");
}

TEST_CASE("Symbols: what is not code is no function; sizes beyond the section are cut") {
  const SymbolIndex index =
      IndexOf({Function(0x2800, 0x10, "data"),
               Function(0x1000, ~std::uint64_t{0}, "huge"),
               {.address = 0x1800, .size = 8, .type = STT_OBJECT, .binding = 0, .name = "object"}});
  CHECK(NameAt(index, 0x2800).empty());
  CHECK(NameAt(index, 0x1fff) == "huge");
  CHECK(NameAt(index, 0x3000).empty());
  CHECK(NameAt(index, 0x1800) == "huge");
}

TEST_CASE("Symbols: many ranges in one another cost a bounded time") {
  std::vector<ElfSymbol> symbols;
  for (std::uint64_t i = 0; i < 0x800; ++i) symbols.push_back(Function(0x1000 + i, 1, "small"));
  symbols.push_back(Function(0x1000, 0x1000, "all"));
  const SymbolIndex index = IndexOf(symbols);
  CHECK(NameAt(index, 0x17ff) == "small");
}

TEST_CASE("Symbols: of a file") {
  const std::string path = SymbolFilePath("dwarf5");
  SymbolIndex index((CodeRanges(*OpenElf(path))));
  index.Add(OpenElf(path));
  index.Seal();
  CHECK(NameAt(index, AddressOf("dwarf5", "sized")) == "sized");
  CHECK(NameAt(index, AddressOf("dwarf5", "sized") + 2) == "behind_sized");
  CHECK(NameAt(index, AddressOf("dwarf5", "sized") + 4).empty());
  CHECK(NameAt(index, AddressOf("dwarf5", "strong")) == "strong");
  CHECK(NameAt(index, AddressOf("dwarf5", "strong") - 1) == "unsized");
}

TEST_CASE("Symbols: stubs of the procedure linkage table") {
  for (const std::string name : {"dwarf5", "no_pie", "clang"}) {
    if (!std::filesystem::exists(SymbolFilePath(name))) continue;
    CAPTURE(name);
    const auto file = OpenElf(SymbolFilePath(name));
    const auto stubs = ReadPltStubs(*file, ReadSectionHeaders(*file));
    CHECK(
        std::ranges::any_of(stubs, [](const PltStub& stub) { return stub.name == "getpid@plt"; }));
    if (name != "no_pie" || file->machine() != EM_X86_64) continue;
    // Once in .plt, which pushes the entry's number, and once in .plt.sec, which jumps.
    for (const std::string stub_name : {"getpid@plt", "getppid@plt"}) {
      CAPTURE(stub_name);
      CHECK(std::ranges::count(stubs, stub_name, &PltStub::name) == 2);
    }
  }
}

TEST_CASE("Symbols: without section headers, by PT_DYNAMIC") {
  // libelf's own library: exports functions, has DT_GNU_HASH only.
  const std::string path = "/usr/lib/x86_64-linux-gnu/libelf.so.1";
  if (!std::filesystem::exists(path)) {
    WARN("skipped: no " + path);
    return;
  }
  const auto bytes = WithoutSections(path);
  CHECK(Has(ReadDynamicSymbols(*OpenBytes(bytes)), "elf_begin"));
  // As glibc leaves it in memory: with the load address added.
  const auto file = OpenBytes(bytes);
  const auto dynamic = file->FindSegment(PT_DYNAMIC);
  REQUIRE(dynamic);
  auto loaded = std::make_shared<std::vector<std::byte>>(*bytes);
  for (std::size_t place = static_cast<std::size_t>(dynamic->offset);; place += sizeof(Elf64_Dyn)) {
    Elf64_Dyn entry;
    std::memcpy(&entry, loaded->data() + place, sizeof(entry));
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag != DT_SYMTAB && entry.d_tag != DT_STRTAB && entry.d_tag != DT_GNU_HASH)
      continue;
    entry.d_un.d_ptr += 0x7f1234567000;
    std::memcpy(loaded->data() + place, &entry, sizeof(entry));
  }
  CHECK(Has(ReadDynamicSymbols(*OpenBytes(loaded)), "elf_begin"));
}

TEST_CASE("Symbols: files cut off anywhere and damaged bytes") {
  const auto whole = BytesOf(SymbolFilePath("dwarf5"));
  for (std::size_t size = 64; size < whole->size(); size += whole->size() / 50) {
    auto file = ElfFile::OpenBytes(std::make_shared<const std::vector<std::byte>>(
        whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(size)));
    if (!file) continue;
    SymbolIndex index((CodeRanges(*file)));
    index.Add(std::make_shared<const ElfFile>(*std::move(file)));
    index.Seal();
    (void)index.Lookup(0x1100);
  }
  SUCCEED("no crash");
}
