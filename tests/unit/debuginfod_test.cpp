// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/debuginfod.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "symbolizer/debug_fetcher.h"
#include "symbolizer/debug_files.h"
#include "symbolizer/module_names.h"
#include "symbolizer/symbolizer.h"
#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using agent::testing::AddressOf;
using agent::testing::OpenElf;
using agent::testing::OpenRoot;
using agent::testing::SymbolFilePath;
using agent::testing::TemporaryFolder;

namespace {

std::string CacheWith(const std::map<std::string, std::string>& environment) {
  return DebuginfodCache([&](const char* name) {
    const auto found = environment.find(name);
    return found != environment.end() ? found->second.c_str() : nullptr;
  });
}

// Has what the test puts into `files`.
struct FakeFetcher final : DebugFetcher {
  std::shared_ptr<const ElfFile> Find(const std::string& build_id) override {
    asked.push_back(build_id);
    const auto found = files.find(build_id);
    return found != files.end() ? OpenElf(found->second) : nullptr;
  }
  std::vector<std::string> TakeArrived() override { return std::exchange(arrived, {}); }

  void Bring(const std::string& path) {
    const std::string build_id = BuildIdOf(*OpenElf(path));
    files[build_id] = path;
    arrived.push_back(build_id);
  }

  std::map<std::string, std::string> files;
  std::vector<std::string> asked;
  std::vector<std::string> arrived;
};

ElfSource SourceOf(const std::string& path) {
  return ElfSource(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
}

Profile WindowAt(const Module& module, std::uint64_t address) {
  Profile window(WallTime(Nanoseconds(5)), Nanoseconds(100));
  Frame frame;
  frame.module = &module;
  frame.address = address;
  window.Add(window.InternStack({{frame}}), window.InternThread({}), SampleKind::kCpu,
             WallTime(Nanoseconds(5)), {.count = 1, .cpu_ns = 10});
  return window;
}

std::string LeafName(const Profile& window) {
  return window.StackFrames(window.Entries().front().key.stack).front().function->name;
}

}  // namespace

TEST_CASE("debuginfod: the addresses of DEBUGINFOD_URLS") {
  using Urls = std::vector<std::string>;
  CHECK(DebuginfodUrls("").empty());
  CHECK(DebuginfodUrls(" \t\n").empty());
  CHECK(DebuginfodUrls("https://a") == Urls{"https://a"});
  CHECK(DebuginfodUrls("  https://a/  http://b:8002\thttp://c\n") ==
        Urls{"https://a/", "http://b:8002", "http://c"});
  CHECK(DebuginfodUrls("ima:enforcing https://a ima:ignore http://b") ==
        Urls{"https://a", "http://b"});
}

TEST_CASE("debuginfod: where the cache is") {
  const std::string path = "DEBUGINFOD_CACHE_PATH";
  CHECK(CacheWith({{path, "/c"}, {"XDG_CACHE_HOME", "/x"}, {"HOME", "/h"}}) == "/c");
  CHECK(CacheWith({{"XDG_CACHE_HOME", "/x"}, {"HOME", "/h"}}) == "/x/debuginfod_client");
  CHECK(CacheWith({{path, ""}, {"XDG_CACHE_HOME", ""}, {"HOME", "/h"}}) ==
        "/h/.cache/debuginfod_client");
  CHECK(CacheWith({}).empty());
}

TEST_CASE("debuginfod: what is not a build id never becomes a path") {
  CHECK(IsBuildId("0123abcd"));
  CHECK_FALSE(IsBuildId(""));
  CHECK_FALSE(IsBuildId("../../ab"));
  CHECK_FALSE(IsBuildId("0123ABCD"));
  CHECK_FALSE(IsBuildId(std::string(130, 'a')));
}

TEST_CASE("debuginfod: a stripped file's names, once its debug file has come") {
  const TemporaryFolder folder;
  folder.Copy(SymbolFilePath("stripped"), "program");
  Module module;
  module.path = folder.path() + "/program";
  const std::uint64_t address = AddressOf("stripped.debug", "mark_inner");
  FakeFetcher fetcher;
  Symbolizer symbolizer(Demangle::kFull, &fetcher);
  ModuleSource source;
  source.elf = std::make_shared<const ElfSource>(SourceOf(module.path));
  source.root = OpenRoot();
  symbolizer.AddModule(&module, std::move(source));
  const Profile window = WindowAt(module, address);
  CHECK(LeafName(*symbolizer.Name(window)).starts_with("program+0x"));
  CHECK(fetcher.asked.size() == 1);
  fetcher.Bring(SymbolFilePath("stripped.debug"));
  // Name does not look for it: a program's end may be waiting.
  CHECK(LeafName(*symbolizer.Name(window)).starts_with("program+0x"));
  symbolizer.UseArrived();
  CHECK(LeafName(*symbolizer.Name(window)) == "shop::(anonymous namespace)::Inner");
  REQUIRE(symbolizer.unnamed().size() == 1);
  CHECK(symbolizer.unnamed()[0].addresses == 1);
  CHECK(symbolizer.unnamed()[0].samples == 2);
}

TEST_CASE("debuginfod: a debug file of something else changes nothing") {
  const TemporaryFolder folder;
  folder.Copy(SymbolFilePath("stripped"), "program");
  Module module;
  module.path = folder.path() + "/program";
  FakeFetcher fetcher;
  Symbolizer symbolizer(Demangle::kFull, &fetcher);
  ModuleSource source;
  source.elf = std::make_shared<const ElfSource>(SourceOf(module.path));
  source.root = OpenRoot();
  symbolizer.AddModule(&module, std::move(source));
  const Profile window = WindowAt(module, AddressOf("stripped.debug", "mark_inner"));
  (void)symbolizer.Name(window);
  fetcher.Bring(SymbolFilePath("dwarf4"));
  symbolizer.UseArrived();
  CHECK(fetcher.asked.size() == 1);
}

TEST_CASE("debuginfod: is asked of stripped files only, and of what dwz has put elsewhere") {
  const UniqueFd root = OpenRoot();
  FakeFetcher fetcher;
  const ModuleNames full(SourceOf(SymbolFilePath("dwarf5")), "/x", root, &fetcher);
  CHECK(fetcher.asked.empty());
  const TemporaryFolder folder;
  folder.Copy(SymbolFilePath("dwz"), "dwz");
  const UniqueFd other_root = OpenRoot(folder.path());
  const ModuleNames without(SourceOf(SymbolFilePath("dwz")), "/dwz", other_root, &fetcher);
  CHECK(without.awaited() == fetcher.asked);
  REQUIRE(fetcher.asked.size() == 1);
  fetcher.Bring(SymbolFilePath("dwz.common"));
  CHECK(fetcher.arrived == fetcher.asked);
  ModuleNames names(SourceOf(SymbolFilePath("dwz")), "/dwz", other_root, &fetcher);
  CHECK(names.awaited().empty());
  CHECK(names.Find(ElfAddress{AddressOf("dwz", "mark_inner")}).size() == 3);
}
