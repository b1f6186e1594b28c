// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "spies/python/code_cache.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kCode = 0x10000;
constexpr std::uint64_t kType = 0x20000;
constexpr std::uint64_t kName = 0x30000;
constexpr std::uint64_t kFile = 0x31000;
constexpr std::uint64_t kLines = 0x32000;

struct Fixture {
  const Layout& layout;
  FakeMemory memory;
  FunctionTable functions;
  CodeCache cache;
  CodeEpoch epoch;
  Stack stack;

  explicit Fixture(std::uint32_t version)
      : layout(*TableLayout(Version{version})),
        cache(memory, layout, RemoteAddress(kType), functions) {
    PutString(kName, "handle");
    PutString(kFile, "/srv/app.py");
    memory.Put(kLines + layout.bytes.size, std::uint64_t{0});
    memory.Put(kCode + 8, kType);
    memory.Put(kCode + layout.code.first_line, std::uint32_t{7});
    memory.Put(kCode + layout.code.filename, kFile);
    memory.Put(kCode + layout.code.name, kName);
    memory.Put(kCode + layout.code.qualname, kName);
    memory.Put(kCode + layout.code.line_table, kLines);
  }
  void PutString(std::uint64_t address, std::string_view text) {
    memory.Put(address + layout.unicode.length, std::uint64_t{text.size()});
    memory.Put(address + layout.unicode.state, std::uint32_t{1u << 2 | 1u << 5 | 1u << 6});
    memory.PutText(address + layout.unicode.ascii_data, text);
  }
  RawFrame Frame() const {
    RawFrame frame;
    frame.code = RemoteAddress(kCode);
    frame.instruction = RemoteAddress(kCode + layout.code.instructions);
    return frame;
  }
  // Of a thread that stands still.
  Result<void> Name() {
    const RawFrame frame = Frame();
    CodeIdentities seen;
    AGENT_CHECK_OK(cache.Identify({&frame, 1}, epoch, seen));
    return cache.Name({&frame, 1}, epoch, seen, stack);
  }
  Result<void> NameRunning() {
    const RawFrame frame = Frame();
    CodeIdentities seen;
    return cache.Name({&frame, 1}, epoch, seen, stack);
  }
};

}  // namespace

TEST_CASE("code cache: names, and reads no more than the identity of what it knows") {
  Fixture code(0x030c01f0);
  REQUIRE(code.Name());
  REQUIRE(code.stack.size() == 1);
  CHECK(code.stack[0].function->name == "handle");
  CHECK(code.stack[0].function->file == "/srv/app.py");
  const int reads = code.memory.reads;
  REQUIRE(code.Name());
  CHECK(code.memory.reads == reads + 1);
}

TEST_CASE("code cache: another code object at the same address is read again") {
  Fixture code(0x030c01f0);
  REQUIRE(code.Name());
  code.PutString(kName + 0x400, "other");
  code.memory.Put(kCode + code.layout.code.qualname, kName + 0x400);
  REQUIRE(code.Name());
  CHECK(code.stack[0].function->name == "other");
}

TEST_CASE("code cache: what was freed while it was read is unreadable") {
  Fixture code(0x030c01f0);
  code.memory.between = [&](int) {
    if (code.memory.reads > 3) code.memory.Put(kCode + 24, std::uint64_t{1});
  };
  CHECK(code.Name().error().code == Errc::kUnreadable);
  code.memory.between = nullptr;
  CHECK(code.Name());
}

TEST_CASE("code cache: the counters of code that runs make it no other code (3.11)") {
  Fixture code(0x030b07f0);
  std::int16_t warmup = -8;
  code.memory.between = [&](int) { code.memory.Put(kCode + 52, warmup++); };
  REQUIRE(code.Name());
  const int reads = code.memory.reads;
  REQUIRE(code.Name());
  CHECK(code.memory.reads == reads + 1);
}

TEST_CASE("code cache: in one epoch nothing is read of what is known") {
  Fixture code(0x030c01f0);
  code.epoch = {RemoteAddress(0x40000), 5};
  REQUIRE(code.Name());
  const int reads = code.memory.reads;
  REQUIRE(code.Name());
  CHECK(code.memory.reads == reads);
  CHECK(code.stack[0].function->name == "handle");

  code.PutString(kName + 0x400, "other");
  code.memory.Put(kCode + code.layout.code.qualname, kName + 0x400);
  SECTION("freed since") { code.epoch.generation = 6; }
  SECTION("of another interpreter") { code.epoch.interpreter = RemoteAddress(0x50000); }
  SECTION("not told") { code.epoch = {}; }
  REQUIRE(code.Name());
  CHECK(code.stack[0].function->name == "other");
}

TEST_CASE("code cache: of a thread that runs only what was known before is told") {
  Fixture code(0x030c01f0);
  CHECK(code.NameRunning().error().code == Errc::kUnreadable);
  CHECK(code.stack.empty());
  REQUIRE(code.NameRunning());
  CHECK(code.stack[0].function->name == "handle");

  // It may have come after the frames were read.
  code.PutString(kName + 0x400, "other");
  code.memory.Put(kCode + code.layout.code.qualname, kName + 0x400);
  CHECK(code.NameRunning().error().code == Errc::kUnreadable);
  REQUIRE(code.NameRunning());
  CHECK(code.stack[0].function->name == "other");
}

TEST_CASE("code cache: what a thread ran while it stood still is told, or nothing") {
  Fixture code(0x030c01f0);
  const RawFrame frame = code.Frame();
  CodeIdentities seen;
  REQUIRE(code.cache.Identify({&frame, 1}, code.epoch, seen));
  SECTION("it runs on") {
    REQUIRE(code.cache.Name({&frame, 1}, code.epoch, seen, code.stack));
    CHECK(code.stack[0].function->name == "handle");
  }
  SECTION("another code object came to its place before it was read") {
    code.PutString(kName + 0x400, "other");
    code.memory.Put(kCode + code.layout.code.qualname, kName + 0x400);
    CHECK(code.cache.Name({&frame, 1}, code.epoch, seen, code.stack).error().code ==
          Errc::kUnreadable);
  }
}
