// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "symbolizer/demangle.h"
#include "symbolizer/dwarf_names.h"
#include "symbolizer/module_names.h"
#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using agent::testing::AddressOf;
using agent::testing::BytesOf;
using agent::testing::OpenElf;
using agent::testing::OpenRoot;
using agent::testing::SymbolFilePath;

namespace {

std::string Readable(const NamedLevel& level) {
  return level.readable_cpp ? SimplifyCpp(level.name)
                            : DemangleName(level.name, Demangle::kSimplified);
}

std::vector<NamedLevel> ChainAt(const std::string& file, std::uint64_t address) {
  const std::string path = SymbolFilePath(file);
  const ElfSource source(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
  const UniqueFd root = OpenRoot();
  ModuleNames names(source, path, root);
  REQUIRE(names.readable());
  return names.Find(ElfAddress{address});
}

}  // namespace

TEST_CASE("DWARF: the chain of inlined calls, its lines and files") {
  // stripped: from its debug file.
  for (const std::string file : {"dwarf5", "dwarf4", "compressed", "type_units", "split", "no_pie",
                                 "clang", "dwz", "stripped"}) {
    CAPTURE(file);
    if (!std::filesystem::exists(SymbolFilePath(file))) {
      WARN("skipped: no " + file);
      continue;
    }
    const std::string symbols = file == "stripped" ? "dwarf5" : file;
    const auto chain = ChainAt(file, AddressOf(symbols, "mark_inner"));
    REQUIRE(chain.size() == 3);
    CHECK(Readable(chain[0]) == "shop::(anonymous namespace)::Inner");
    CHECK(chain[0].line == 9);
    CHECK(chain[0].start_line == 8);
    CHECK(Readable(chain[1]) == "shop::(anonymous namespace)::Middle");
    CHECK(chain[1].line == 16);
    CHECK(chain[1].start_line == 14);
    CHECK(Readable(chain[2]) == "shop::Counter::Add");
    CHECK(chain[2].line == 28);
    // gcc says where the member was declared, clang where it was defined.
    CHECK((chain[2].start_line == 23 || chain[2].start_line == 26));
    for (const NamedLevel& level : chain) CHECK(level.file.ends_with("/symbols/shop.cpp"));

    const auto plain = ChainAt(file, AddressOf(symbols, "mark_plain"));
    REQUIRE(plain.size() == 1);
    CHECK(Readable(plain[0]) == "shop::Plain");
    CHECK(plain[0].line == 33);
    CHECK(plain[0].start_line == 32);
    const auto c = ChainAt(file, AddressOf(symbols, "mark_c"));
    REQUIRE(c.size() == 1);
    CHECK(c[0].name == "c_function");
    CHECK(c[0].line == 42);
  }
}

TEST_CASE("DWARF: inlined calls side by side, called from another file than their function's") {
  for (const std::string file : {"dwarf5", "dwarf4", "clang"}) {
    CAPTURE(file);
    if (!std::filesystem::exists(SymbolFilePath(file))) {
      WARN("skipped: no " + file);
      continue;
    }
    std::uint32_t call_line = 100;
    for (const auto& [mark, name] :
         {std::pair("mark_first", "FirstCall"), std::pair("mark_second", "SecondCall")}) {
      CAPTURE(mark);
      const auto chain = ChainAt(file, AddressOf(file, mark));
      REQUIRE(chain.size() == 2);
      CHECK(Readable(chain[0]) == name);
      CHECK(chain[0].file.ends_with("/symbols/shop.cpp"));
      CHECK(chain[1].name == "side_by_side");
      CHECK(chain[1].file.ends_with("part.inc"));
      CHECK(chain[1].line == call_line++);
    }
  }
}

TEST_CASE("DWARF: code that it does not know has the name of its symbol") {
  const auto chain = ChainAt("dwarf5", AddressOf("dwarf5", "sized"));
  REQUIRE(chain.size() == 1);
  CHECK(chain[0].name == "sized");
  CHECK(chain[0].line == 0);
  CHECK(ChainAt("dwarf5", AddressOf("dwarf5", "sized") + 6).empty());
  CHECK(ChainAt("dwarf5", 0).empty());
  CHECK(ChainAt("dwarf5", ~std::uint64_t{0}).empty());
}

TEST_CASE("DWARF: split units are not searched where that was not allowed") {
  const auto file = OpenElf(SymbolFilePath("split"));
  auto names = DwarfNames::Open(file, nullptr, CodeRanges(*file), std::nullopt);
  REQUIRE(names);
  std::vector<NamedLevel> chain;
  names->Find(ElfAddress{AddressOf("split", "mark_inner")}, chain);
  // Lines are in the file itself.
  REQUIRE(chain.size() == 1);
  CHECK(chain[0].name.empty());
  CHECK(chain[0].line == 9);
}

TEST_CASE("DWARF: entries that are their own origin end") {
  const auto chain = ChainAt("loops", AddressOf("loops", "loops"));
  REQUIRE(chain.size() == 1);
  CHECK(chain[0].name == "loops");
  CHECK(chain[0].line == 7);
}

TEST_CASE("DWARF: damaged bytes") {
  const auto whole = BytesOf(SymbolFilePath("dwarf5"));
  const std::uint64_t address = AddressOf("dwarf5", "mark_inner");
  const UniqueFd root;
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    auto bytes = std::make_shared<std::vector<std::byte>>(*whole);
    // Behind what is loaded lie the debug sections.
    for (int i = 0; i < 1 + round % 20; ++i) {
      const std::size_t place = 0x3000 + random() % (bytes->size() - 0x3000);
      (*bytes)[place] = static_cast<std::byte>(random());
    }
    const ElfSource source(bytes);
    ModuleNames names(source, "/x", root);
    (void)names.Find(ElfAddress{address});
  }
  for (std::size_t size = 0; size < whole->size(); size += whole->size() / 60) {
    const ElfSource source(std::make_shared<const std::vector<std::byte>>(
        whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(size)));
    ModuleNames names(source, "/x", root);
    (void)names.Find(ElfAddress{address});
  }
  SUCCEED("no crash");
}
