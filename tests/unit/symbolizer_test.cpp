// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/symbolizer.h"

#include <unistd.h>

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using agent::testing::AddressOf;
using agent::testing::OpenRoot;
using agent::testing::SymbolFilePath;
using agent::testing::TemporaryFolder;

namespace {

ModuleSource SourceOf(const std::string& path) {
  ModuleSource source;
  source.elf =
      std::make_shared<const ElfSource>(UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
  source.root = OpenRoot();
  return source;
}

Module ModuleAt(const std::string& path) {
  Module module;
  module.path = path;
  return module;
}

Frame Unnamed(const Module& module, std::uint64_t address) {
  Frame frame;
  frame.module = &module;
  frame.address = address;
  return frame;
}

Profile WindowOf(const std::vector<Stack>& stacks) {
  Profile window(WallTime(Nanoseconds(5)), Nanoseconds(100));
  window.set_duration(Nanoseconds(1000));
  window.set_period(Nanoseconds(10));
  window.losses().torn = 3;
  ThreadInfo thread;
  thread.thread_name = "worker";
  const ThreadIndex index = window.InternThread(thread);
  std::int64_t slice = 0;
  for (const Stack& stack : stacks) {
    window.Add(window.InternStack(stack), index, SampleKind::kCpu,
               WallTime(Nanoseconds(5 + 100 * slice++)), {.count = 1, .cpu_ns = 10});
  }
  return window;
}

// The only stack of a profile.
Stack OnlyStack(const Profile& profile) {
  const auto entries = profile.Entries();
  REQUIRE(!entries.empty());
  const auto frames = profile.StackFrames(entries.front().key.stack);
  for (const Profile::Entry& entry : entries) CHECK(entry.key.stack == entries.front().key.stack);
  return {frames.begin(), frames.end()};
}

}  // namespace

TEST_CASE("Symbolizer: names machine code, lets named frames pass, keeps all else") {
  const Module module = ModuleAt(SymbolFilePath("dwarf5"));
  Symbolizer symbolizer(Demangle::kSimplified);
  symbolizer.AddModule(&module, SourceOf(module.path));
  const Function python{.name = "f", .file = "/a.py", .start_line = 1};
  const Frame named{.function = &python, .line = 3};
  const std::uint64_t mark = AddressOf("dwarf5", "mark_inner");
  const Profile window = WindowOf({{Unnamed(module, mark), named}});
  const auto result = symbolizer.Name(window);
  const Stack stack = OnlyStack(*result);
  REQUIRE(stack.size() == 4);
  CHECK(stack[0].function->name == "shop::(anonymous namespace)::Inner");
  CHECK(stack[0].function->start_line == 8);
  CHECK(stack[0].line == 9);
  CHECK(stack[0].inlined);
  CHECK(stack[1].inlined);
  CHECK(stack[2].function->name == "shop::Counter::Add");
  CHECK(stack[2].line == 28);
  CHECK_FALSE(stack[2].inlined);
  CHECK(stack[2].module == nullptr);
  CHECK(stack[2].address == 0);
  CHECK(stack[3] == named);

  CHECK(result->start() == window.start());
  CHECK(result->duration() == window.duration());
  CHECK(result->period() == window.period());
  CHECK(result->slice_length() == window.slice_length());
  CHECK(result->losses().torn == 3);
  CHECK(result->Total().cpu_ns == 10);
  const auto entry = result->Entries().front();
  CHECK(result->Thread(entry.key.thread).thread_name == "worker");
}

TEST_CASE("Symbolizer: addresses of one line become one stack, in its own time slices") {
  const Module module = ModuleAt(SymbolFilePath("bare"));
  const Module full = ModuleAt(SymbolFilePath("dwarf5"));
  Symbolizer symbolizer(Demangle::kFull);
  symbolizer.AddModule(&full, SourceOf(full.path));
  const std::uint64_t sized = AddressOf("dwarf5", "sized");
  const auto result =
      symbolizer.Name(WindowOf({{Unnamed(full, sized)}, {Unnamed(full, sized + 1)}}));
  CHECK(OnlyStack(*result).size() == 1);
  REQUIRE(result->Entries().size() == 2);
  CHECK(result->Entries()[0].key.slice != result->Entries()[1].key.slice);
}

TEST_CASE(
    "Symbolizer: an address without a name keeps its module and address, and is counted once") {
  const Module bare = ModuleAt(SymbolFilePath("bare"));
  const Module gone = ModuleAt("/srv/gone.so");
  const Module unknown = ModuleAt("/srv/unknown.so");
  const Module anonymous = ModuleAt("[anonymous code]");
  Symbolizer symbolizer(Demangle::kFull);
  symbolizer.AddModule(&bare, SourceOf(bare.path));
  symbolizer.AddModule(&gone, SourceOf("/srv/gone.so"));
  ModuleSource no_file;
  no_file.root = OpenRoot("/proc/self");
  symbolizer.AddModule(&anonymous, std::move(no_file));
  const std::uint64_t address = AddressOf("dwarf5", "sized");
  for (int i = 0; i < 2; ++i) {
    const auto result = symbolizer.Name(
        WindowOf({{Unnamed(bare, address), Unnamed(gone, 0x10), Unnamed(unknown, 0x20),
                   Unnamed(anonymous, 0x7f00), Unnamed(bare, address)}}));
    const Stack stack = OnlyStack(*result);
    REQUIRE(stack.size() == 5);
    CHECK(stack[0].function->name.starts_with("bare+0x"));
    CHECK(stack[0].function->file == bare.path);
    CHECK(stack[0].module == &bare);
    CHECK(stack[0].address == address);
    CHECK(stack[1].function->name == "gone.so+0x10");
    CHECK(stack[2].function->name == "unknown.so+0x20");
    CHECK(stack[3].function->name == "[anonymous code]+0x7f00");
    CHECK(stack[3].module == &anonymous);
    CHECK(stack[4] == stack[0]);
  }
  const std::vector<UnnamedCode> unnamed = symbolizer.unnamed();
  REQUIRE(unnamed.size() == 4);
  // The leaf, in both windows.
  CHECK(unnamed[0].module == &bare);
  CHECK(unnamed[0].reason == UnnamedReason::kStripped);
  CHECK(unnamed[0].addresses == 1);
  CHECK(unnamed[0].samples == 2);
  for (const UnnamedCode& code : unnamed) {
    INFO(code.module->path);
    CHECK(code.addresses == 1);
    if (code.module == &bare) continue;
    CHECK(code.samples == 0);
    CHECK(code.reason ==
          (code.module == &anonymous ? UnnamedReason::kNoPerfMap : UnnamedReason::kUnreadable));
  }
}

TEST_CASE("Symbolizer: why code with symbols, or with a perf map, has no name") {
  const TemporaryFolder folder;
  folder.Write("tmp/perf-7.map", "1000 10 f\n");
  const Module full = ModuleAt(SymbolFilePath("dwarf5"));
  const Module symbols = ModuleAt(SymbolFilePath("mini.symbols"));  // and no DWARF
  const Module jit = ModuleAt("[anonymous code]");
  Symbolizer symbolizer(Demangle::kFull);
  symbolizer.AddModule(&full, SourceOf(full.path));
  symbolizer.AddModule(&symbols, SourceOf(symbols.path));
  ModuleSource source;
  source.root = OpenRoot(folder.path());
  source.inner_pid = InnerTid{7};
  source.owner = ::getuid();
  symbolizer.AddModule(&jit, std::move(source));
  // A look ahead counts addresses, no samples: those will come again.
  symbolizer.LookUpAhead(WindowOf({{Unnamed(full, 1)}, {Unnamed(jit, 0x2000)}}));
  (void)symbolizer.Name(WindowOf({{Unnamed(full, 1)}, {Unnamed(full, 2), Unnamed(symbols, 1)}}));
  for (int i = 0; i < 3; ++i) {
    (void)symbolizer.Name(WindowOf({{Unnamed(jit, 0x1004)}, {Unnamed(jit, 0x2000)}}));
  }
  const std::vector<UnnamedCode> unnamed = symbolizer.unnamed();
  REQUIRE(unnamed.size() == 3);
  CHECK(unnamed[2].module == &symbols);
  CHECK(unnamed[2].reason == UnnamedReason::kNoSymbol);
  CHECK(unnamed[0].module == &jit);
  CHECK(unnamed[0].reason == UnnamedReason::kNotInPerfMap);
  CHECK(unnamed[0].addresses == 1);
  CHECK(unnamed[0].samples == 3);
  CHECK(unnamed[1].module == &full);
  CHECK(unnamed[1].reason == UnnamedReason::kNoSymbol);
  CHECK(unnamed[1].addresses == 2);
  CHECK(unnamed[1].samples == 2);
}

TEST_CASE("Symbolizer: code without a file is looked up anew in each window") {
  const TemporaryFolder folder;
  const Module jit = ModuleAt("[anonymous code]");
  Symbolizer symbolizer(Demangle::kFull);
  ModuleSource source;
  source.root = OpenRoot(folder.path());
  source.inner_pid = InnerTid{7};
  source.owner = ::getuid();
  symbolizer.AddModule(&jit, std::move(source));
  const Profile window = WindowOf({{Unnamed(jit, 0x1004)}});
  CHECK(OnlyStack(*symbolizer.Name(window))[0].function->name == "[anonymous code]+0x1004");
  folder.Write("tmp/perf-7.map", "1000 10 JS:~f /a.js:3:1\n");
  CHECK(OnlyStack(*symbolizer.Name(window))[0].function->name == "f");
  folder.Append("tmp/perf-7.map", "1000 10 JS:~g /a.js:4:1\n");
  const Stack stack = OnlyStack(*symbolizer.Name(window));
  CHECK(stack[0].function->name == "g");
  CHECK(stack[0].function->file == "/a.js");
  CHECK(stack[0].function->start_line == 4);
  CHECK(stack[0].module == nullptr);
}

TEST_CASE("Symbolizer: files that are not looked at for a while are closed, and opened again") {
  const Module module = ModuleAt(SymbolFilePath("dwarf5"));
  Symbolizer symbolizer(Demangle::kFull);
  symbolizer.AddModule(&module, SourceOf(module.path));
  const std::uint64_t sized = AddressOf("dwarf5", "sized");
  (void)symbolizer.Name(WindowOf({{Unnamed(module, sized)}}));
  for (int i = 0; i < 10; ++i) (void)symbolizer.Name(WindowOf({{Unnamed(module, sized)}}));
  const auto result = symbolizer.Name(WindowOf({{Unnamed(module, sized + 2)}}));
  CHECK(OnlyStack(*result)[0].function->name == "behind_sized");
}
