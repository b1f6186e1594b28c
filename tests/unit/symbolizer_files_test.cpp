// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "symbolizer/debug_files.h"
#include "symbolizer/dwarf_names.h"
#include "symbolizer/mini_debug_info.h"
#include "symbolizer/module_names.h"
#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using agent::testing::AddressOf;
using agent::testing::BytesOf;
using agent::testing::OpenElf;
using agent::testing::OpenRoot;
using agent::testing::SymbolFilePath;
using agent::testing::TemporaryFolder;

namespace {

std::string BuildIdPath(const std::string& name) {
  const std::string id = OpenElf(SymbolFilePath(name))->BuildId();
  return "usr/lib/debug/.build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug";
}

// Where the debug file of "stripped", known as /srv/bin/stripped, is found below `folder`; "" where
// it is not.
std::string FoundIn(const TemporaryFolder& folder) {
  const UniqueFd root = OpenRoot(folder.path());
  const DebugFiles files(root);
  const auto found = files.Find(*OpenElf(SymbolFilePath("stripped")), "/srv/bin/stripped");
  return found ? found->path : "";
}

}  // namespace

TEST_CASE("Debug files: by .gnu_debuglink, in its three places") {
  for (const std::string place : {"srv/bin/stripped.debug", "srv/bin/.debug/stripped.debug",
                                  "usr/lib/debug/srv/bin/stripped.debug"}) {
    const TemporaryFolder folder;
    CHECK(FoundIn(folder).empty());
    folder.Copy(SymbolFilePath("stripped.debug"), place);
    CHECK(FoundIn(folder) == "/" + place);
  }
}

TEST_CASE("Debug files: by build id") {
  const TemporaryFolder folder;
  folder.Copy(SymbolFilePath("stripped.debug"), BuildIdPath("stripped"));
  CHECK(FoundIn(folder) == "/" + BuildIdPath("stripped"));
}

TEST_CASE("Debug files: of another build, damaged, or beyond the root: none") {
  const TemporaryFolder folder;
  folder.Copy(SymbolFilePath("dwarf4"), "srv/bin/stripped.debug");
  folder.Write("srv/bin/.debug/stripped.debug", "not an ELF file");
  folder.Copy(SymbolFilePath("dwarf4"), BuildIdPath("stripped"));
  CHECK(FoundIn(folder).empty());
  std::filesystem::create_directories(folder.path() + "/usr/lib/debug/srv/bin");
  std::filesystem::create_symlink(SymbolFilePath("stripped.debug"),
                                  folder.path() + "/usr/lib/debug/srv/bin/stripped.debug");
  CHECK(FoundIn(folder).empty());
}

TEST_CASE(
    "Debug files: without a build id only the file with the link's checksum, of its own root") {
  const auto file = OpenElf(SymbolFilePath("no_id"));
  REQUIRE(file->BuildId().empty());
  const TemporaryFolder folder;
  const UniqueFd root = OpenRoot(folder.path());
  const DebugFiles files(root);
  folder.Copy(SymbolFilePath("dwarf4"), "srv/bin/no_id.debug");
  CHECK_FALSE(files.Find(*file, "/srv/bin/no_id"));
  folder.Copy(SymbolFilePath("no_id.debug"), "srv/bin/no_id.debug");
  CHECK(files.Find(*file, "/srv/bin/no_id"));
  CHECK_FALSE(files.Find(*file, SymbolFilePath("no_id")));
}

TEST_CASE("Debug files: dwz's common file has the build id that the link says") {
  if (!std::filesystem::exists(SymbolFilePath("dwz"))) {
    WARN("skipped: no dwz");
    return;
  }
  const auto file = OpenElf(SymbolFilePath("dwz"));
  const auto link = ReadAltLink(*file);
  REQUIRE(link);
  const std::string place = link->path.starts_with('/') ? link->path : "/srv/" + link->path;
  const DebugFile of{.elf = file, .path = "/srv/dwz"};
  const TemporaryFolder folder;
  const UniqueFd root = OpenRoot(folder.path());
  const DebugFiles files(root);
  folder.Copy(SymbolFilePath("dwarf4"), place.substr(1));
  CHECK_FALSE(files.FindAlt(link->path, link->build_id, of));
  folder.Copy(SymbolFilePath("dwz.common"), place.substr(1));
  CHECK(files.FindAlt(link->path, link->build_id, of));
}

TEST_CASE("Debug files: the link's checksum is that of the file") {
  const auto link = ReadDebugLink(*OpenElf(SymbolFilePath("stripped")));
  REQUIRE(link);
  CHECK(link->name == "stripped.debug");
  CHECK(FileCrc(UniqueFd(::open(SymbolFilePath("stripped.debug").c_str(), O_RDONLY))) == link->crc);
  CHECK_FALSE(ReadDebugLink(*OpenElf(SymbolFilePath("dwarf5"))));
}

TEST_CASE("MiniDebugInfo: its symbols name what the file itself does not") {
  CHECK_FALSE(ReadMiniDebugInfo(*OpenElf(SymbolFilePath("bare"))));
  const auto mini = ReadMiniDebugInfo(*OpenElf(SymbolFilePath("mini")));
  REQUIRE(mini);
  CHECK(mini->FindSymbol("sized"));

  const TemporaryFolder empty;
  const UniqueFd root = OpenRoot(empty.path());
  const auto name_in = [&root](const std::string& file) {
    const ElfSource source(BytesOf(SymbolFilePath(file)));
    ModuleNames names(source, "/srv/" + file, root);
    const auto chain = names.Find(ElfAddress{AddressOf("dwarf5", "sized")});
    return chain.empty() ? "" : chain.front().name;
  };
  CHECK(name_in("bare").empty());
  CHECK(name_in("mini") == "sized");
}

TEST_CASE("MiniDebugInfo: damaged and too large data") {
  const auto whole = BytesOf(SymbolFilePath("mini.symbols.xz"));
  const auto size = std::filesystem::file_size(SymbolFilePath("mini.symbols"));
  const auto good = DecompressXz(*whole, 1u << 20);
  REQUIRE(good);
  CHECK(good->size() == size);
  CHECK_FALSE(DecompressXz(*whole, size / 2));
  CHECK_FALSE(DecompressXz(std::span(*whole).first(whole->size() / 2), 1u << 20));
  CHECK_FALSE(DecompressXz({}, 1u << 20));
  std::vector<std::byte> damaged = *whole;
  damaged[damaged.size() / 2] ^= std::byte{0xff};
  CHECK_FALSE(DecompressXz(damaged, 1u << 20));
}
