// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "symbolizer/jit_names.h"
#include "symbolizer/jitdump.h"
#include "symbolizer/perf_map.h"
#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using agent::testing::OpenRoot;
using agent::testing::TemporaryFolder;

namespace {

std::string NameAt(const CodeMap& map, std::uint64_t address) {
  const auto found = map.Find(address);
  return found.code ? found.code->name : "";
}

template <typename T>
std::string Raw(T value) {
  std::string text(sizeof(T), '\0');
  std::memcpy(text.data(), &value, sizeof(T));
  return text;
}

std::string Record(std::uint32_t id, const std::string& body) {
  return Raw(id) + Raw(static_cast<std::uint32_t>(16 + body.size())) + Raw(std::uint64_t{1}) + body;
}

std::string Header() {
  return Raw(std::uint32_t{0x4a695444}) + Raw(std::uint32_t{1}) + Raw(std::uint32_t{40}) +
         Raw(std::uint32_t{62}) + std::string(24, '\0');
}

std::string Load(std::uint64_t address, std::uint64_t size, const std::string& name) {
  return Record(0, Raw(std::uint64_t{1}) + Raw(address) + Raw(address) + Raw(size) +
                       Raw(std::uint64_t{0}) + name + '\0' + std::string(size, '\x90'));
}

std::string Move(std::uint64_t from, std::uint64_t to, std::uint64_t size) {
  return Record(
      1, Raw(std::uint64_t{1}) + Raw(to) + Raw(from) + Raw(to) + Raw(size) + Raw(std::uint64_t{0}));
}

std::string Line(std::uint64_t address, std::uint32_t line, const std::string& file) {
  return Raw(address) + Raw(line) + Raw(std::uint32_t{0}) + file + '\0';
}

std::string DebugInfo(std::uint64_t address, std::uint64_t count, const std::string& lines) {
  return Record(2, Raw(address) + Raw(count) + lines);
}

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("CodeMap: what comes later takes the place of what was there") {
  CodeMap map;
  const auto code = [](const char* name) {
    auto made = std::make_shared<JitCode>();
    made->name = name;
    return made;
  };
  map.Add(0x1000, 0x100, code("whole"));
  map.Add(0x1040, 0x20, code("middle"));
  CHECK(NameAt(map, 0x103f) == "whole");
  CHECK(NameAt(map, 0x1040) == "middle");
  CHECK(NameAt(map, 0x1060) == "whole");
  CHECK(NameAt(map, 0x1100).empty());
  map.Add(0x0ff0, 0x400, code("all"));
  CHECK(map.size() == 1);
  CHECK(NameAt(map, 0x1050) == "all");
  map.Add(~std::uint64_t{0} - 5, 100, code("beyond the end"));
  CHECK(map.size() == 1);
}

TEST_CASE("Perf map: names of V8, CPython and .NET are taken apart") {
  const JitCode v8 = ParseJitName("JS:*hotFunction /srv/my app/n.js:12:21");
  CHECK(v8.name == "hotFunction");
  CHECK(v8.file == "/srv/my app/n.js");
  CHECK(v8.start_line == 12);
  CHECK(ParseJitName("JS:^hotFunction /srv/my app/n.js:12:21").name == v8.name);
  CHECK(ParseJitName("LazyCompile:~get prop /a.js:1:2").name == "get prop");
  const JitCode anonymous = ParseJitName("JS:~ node:internal/main/run:5:1");
  CHECK(anonymous.name == "(anonymous)");
  CHECK(anonymous.file == "node:internal/main/run");
  CHECK(ParseJitName("JS:+f").name == "f");
  CHECK(ParseJitName("JS:").name == "(anonymous)");
  CHECK(ParseJitName("Builtin:ArrayMap").name == "Builtin:ArrayMap");
  const JitCode python = ParseJitName("py::A.f:/srv/a.py");
  CHECK(python.name == "A.f");
  CHECK(python.file == "/srv/a.py");
  for (const char* tier : {"[QuickJitted]", "[OptimizedTier1]", "[OptimizedTier1OSR]",
                           "[Optimized]", "[InstrumentedTier]", "[InstrumentedTierOptimized]"}) {
    CHECK(ParseJitName(std::string("void [app] A::B(int32)") + tier).name ==
          "void [app] A::B(int32)");
  }
}

TEST_CASE("Perf map: lines of another form are passed over, the last one waits for its end") {
  CodeMap map;
  const std::string text =
      "1000 10 first\n"
      "zz 10 no address\n"
      "2000\n"
      "\n"
      "0x3000 0x8 with a prefix\r\n"
      "ffffffffffffffff ffffffffffffffff overflow\n"
      "4000 10 not comp";
  CHECK(AddPerfMap(text, map) == text.size() - std::strlen("4000 10 not comp"));
  CHECK(map.size() == 2);
  CHECK(NameAt(map, 0x100f) == "first");
  CHECK(NameAt(map, 0x3007) == "with a prefix");
  CHECK(AddPerfMap(std::string(100'000, 'x'), map) == 100'000);
}

TEST_CASE("Jitdump: load, lines, move") {
  CodeMap map;
  JitDump dump;
  const std::string text =
      Header() +
      DebugInfo(0x1000, 3,
                Line(0x1000, 7, "/a.c") + Line(0x1008, 9, "\xff") + Line(0x100c, 1, "/other.h")) +
      Load(0x1000, 0x10, "f") + Load(0x2000, 0x10, "JS:*g /b.js:3:1") + Move(0x1000, 0x5000, 0x10);
  CHECK(dump.Add(Bytes(text), map) == text.size());
  CHECK(NameAt(map, 0x1000).empty());
  CHECK(NameAt(map, 0x5008) == "f");
  CHECK(map.Find(0x5007).line == 7);
  CHECK(map.Find(0x500f).line == 9);
  CHECK(map.Find(0x5000).code->file == "/a.c");
  CHECK(NameAt(map, 0x2000) == "g");
}

TEST_CASE("Jitdump: V8 counts addresses of lines from 0x40 before the code") {
  CodeMap map;
  JitDump dump;
  const std::string text =
      Header() + DebugInfo(0x2000, 2, Line(0x2040, 3, "/b.js") + Line(0x2044, 4, "/b.js")) +
      Load(0x2000, 0x10, "JS:*g /b.js:3:1");
  CHECK(dump.Add(Bytes(text), map) == text.size());
  CHECK(map.Find(0x2000).line == 3);
  CHECK(map.Find(0x2004).line == 4);
}

TEST_CASE("Jitdump: read in pieces of any size") {
  const std::string text = Header() + Load(0x1000, 0x10, "f") + Load(0x2000, 0x10, "g");
  for (std::size_t piece = 1; piece < text.size(); ++piece) {
    CodeMap map;
    JitDump dump;
    std::size_t offset = 0;
    for (std::size_t end = piece; offset < text.size(); end = std::min(text.size(), end + piece)) {
      const auto taken = dump.Add(Bytes(text).subspan(offset, end - offset), map);
      REQUIRE(taken);
      offset += *taken;
    }
    CHECK(NameAt(map, 0x2000) == "g");
  }
}

TEST_CASE("Jitdump: damaged files") {
  CodeMap map;
  CHECK_FALSE(JitDump().Add(Bytes("this is not a jitdump file at all, is it"), map));
  CHECK_FALSE(JitDump().Add(
      Bytes(Header() + Raw(std::uint32_t{0}) + Raw(std::uint32_t{3}) + Raw(std::uint64_t{0})),
      map));
  CHECK_FALSE(JitDump().Add(
      Bytes(Header() + Raw(std::uint32_t{0}) + Raw(~std::uint32_t{0}) + Raw(std::uint64_t{0})),
      map));
  // Records too short for what they claim.
  const std::string text = Header() + Record(0, "short") + Record(1, "short") + Record(2, "short") +
                           Record(0, std::string(60, 'x')) +
                           DebugInfo(0x1000, ~std::uint64_t{0}, Line(0x1000, 1, "/a"));
  CHECK(JitDump().Add(Bytes(text), map) == text.size());
  CHECK(map.size() == 0);
}

TEST_CASE("JitNames: files are read as they grow, and anew when they are replaced") {
  const TemporaryFolder folder;
  const UniqueFd root = OpenRoot(folder.path());
  folder.Write("tmp/perf-7.map", "1000 10 first\n2000 10 sec");
  JitNames names(root, InnerTid{7}, ::getuid(), {});
  CHECK_FALSE(names.Find(0x1000).code);
  names.Refresh();
  REQUIRE(names.Find(0x1000).code);
  CHECK_FALSE(names.Find(0x2000).code);
  folder.Append("tmp/perf-7.map", "ond\n1000 8 newer\n");
  names.Refresh();
  CHECK(names.Find(0x2000).code->name == "second");
  CHECK(names.Find(0x1007).code->name == "newer");
  CHECK(names.Find(0x1008).code->name == "first");
  folder.Write("tmp/perf-7.map", "3000 10 x\n");
  names.Refresh();
  CHECK_FALSE(names.Find(0x1000).code);
  CHECK(names.Find(0x3000).code->name == "x");
  // Of an earlier process with the same id, and written anew and further before it was looked at.
  folder.Write("tmp/perf-7.map", "4000 10 y\n5000 10 z\n");
  names.Refresh();
  CHECK_FALSE(names.Find(0x3000).code);
  CHECK(names.Find(0x4000).code->name == "y");
  folder.Append("tmp/perf-7.map", "6000 10 w\n");
  names.Refresh();
  CHECK(names.Find(0x4000).code->name == "y");
  CHECK(names.Find(0x6000).code->name == "w");
}

TEST_CASE("JitNames: jitdump by its path; of others and through links out of the root: none") {
  const TemporaryFolder folder;
  const UniqueFd root = OpenRoot(folder.path());
  folder.Write("srv/app.dump", Header() + Load(0x1000, 0x10, "dumped"));
  JitNames names(root, InnerTid{7}, ::getuid(), {"/srv/app.dump"});
  names.Refresh();
  REQUIRE(names.Find(0x1000).code);
  CHECK(names.Find(0x1000).code->name == "dumped");

  const TemporaryFolder outside;
  outside.Write("perf.map", "1000 10 outside\n");
  std::filesystem::create_directories(folder.path() + "/tmp");
  std::filesystem::create_symlink(outside.path() + "/perf.map", folder.path() + "/tmp/perf-8.map");
  JitNames linked(root, InnerTid{8}, ::getuid(), {});
  linked.Refresh();
  CHECK_FALSE(linked.Find(0x1000).code);

  if (::getuid() == 0) {
    folder.Write("tmp/perf-9.map", "1000 10 foreign\n");
    REQUIRE(::chown((folder.path() + "/tmp/perf-9.map").c_str(), 12345, 12345) == 0);
    JitNames foreign(root, InnerTid{9}, 0, {});
    foreign.Refresh();
    CHECK_FALSE(foreign.Find(0x1000).code);
  }
}
