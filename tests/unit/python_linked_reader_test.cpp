// SPDX-License-Identifier: Apache-2.0
#include <string_view>
#include <vector>

#include "spies/python/linked_reader.h"
#include "spies/python/member_check.h"
#include "spies/python/pthread_ids.h"
#include "spies/python/version_text.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kThread = 0x10000;
constexpr std::uint64_t kPthread = 0x20000;
constexpr std::uint64_t kHeap = 0x100000;
constexpr InnerTid kTid{77};

struct Fixture {
  const Layout& layout;
  FakeMemory memory;
  LinkedReader reader;
  ThreadState state;
  std::vector<RawFrame> frames;

  explicit Fixture(std::uint32_t version = 0x03081200)
      : layout(*TableLayout(Version{version})), reader(memory, layout) {
    state.address = RemoteAddress(kThread);
    state.pthread = RemoteAddress(kPthread);
    state.tid_address = RemoteAddress(kPthread + 720);
    memory.Put(kThread + layout.thread.thread_id, kPthread);
    memory.Put(kPthread + 720, std::int32_t{77});
  }
  // Frames at these addresses, leaf first.
  void PutChain(const std::vector<std::uint64_t>& addresses) {
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      const std::uint64_t back = i + 1 < addresses.size() ? addresses[i + 1] : 0;
      memory.Put(addresses[i] + layout.frame.previous, back);
      memory.Put(addresses[i] + layout.frame.executable, addresses[i] + 0x1000000);
      memory.Put(addresses[i] + layout.frame.instruction, std::int32_t{10});
    }
    memory.Put(kThread + layout.thread.frame, addresses.empty() ? 0 : addresses.front());
  }
  ReadOutcome Read() {
    frames.clear();
    memory.reads = 0;
    const ReadOutcome outcome = reader.Read(state, kTid, frames);
    reads = memory.reads;
    reader.Learn(state);
    return outcome;
  }
  int reads = 0;
};

}  // namespace

TEST_CASE("a linked frame that would lie at the end of all memory is none") {
  Fixture f;
  f.PutChain({kHeap + 0x20000, ~std::uint64_t{0} - 200});
  CHECK(f.Read() == ReadOutcome::kTorn);
  CHECK(f.frames.empty());
}

TEST_CASE("linked frames are read leaf first, in one call when they are known") {
  Fixture f;
  f.PutChain({kHeap + 0x20000, kHeap + 0x10000, kHeap});
  REQUIRE(f.Read() == ReadOutcome::kStack);
  REQUIRE(f.frames.size() == 3);
  CHECK(f.frames[0].code.value() == kHeap + 0x20000 + 0x1000000);
  CHECK(f.frames[0].instruction.value() - f.frames[0].code.value() == 10);  // bytes
  CHECK(f.reads == 4);
  REQUIRE(f.Read() == ReadOutcome::kStack);
  CHECK(f.frames.size() == 3);
  CHECK(f.reads == 1);
}

TEST_CASE("linked frames: 3.10 counts code units, and -1 is a frame that has run nothing") {
  Fixture f(0x030a0df0);
  f.PutChain({kHeap + 0x400, kHeap});
  f.memory.Put(kHeap + 0x400 + f.layout.frame.instruction, std::int32_t{-1});
  REQUIRE(f.Read() == ReadOutcome::kStack);
  CHECK(f.frames[0].instruction.value() == f.frames[0].code.value() - 2);
  CHECK(f.frames[1].instruction.value() - f.frames[1].code.value() == 20);
}

TEST_CASE("linked frames: neighbours come with one page, and callers that stay are known") {
  Fixture f;
  std::vector<std::uint64_t> chain;
  for (std::uint64_t i = 0; i < 72; ++i) chain.insert(chain.begin(), kHeap + i * 448);
  f.PutChain(chain);
  REQUIRE(f.Read() == ReadOutcome::kStack);
  CHECK(f.frames.size() == 72);
  CHECK(f.reads <= 1 + 72 * 448 / 4096 + 8);
  // Another leaf upon the same callers.
  chain.insert(chain.begin(), kHeap + 0x90000);
  f.PutChain(chain);
  REQUIRE(f.Read() == ReadOutcome::kStack);
  CHECK(f.frames.size() == 73);
  CHECK(f.reads == 2);
  // The one before is remembered for a while.
  chain.erase(chain.begin());
  f.PutChain(chain);
  REQUIRE(f.Read() == ReadOutcome::kStack);
  CHECK(f.reads == 1);
  chain.insert(chain.begin(), kHeap + 0x90000);
  f.PutChain(chain);
  REQUIRE(f.Read() == ReadOutcome::kStack);
  CHECK(f.reads == 1);
}

TEST_CASE(
    "linked frames: a stack past the limit keeps its leaf side, in a bounded number of calls") {
  Fixture f;
  std::vector<std::uint64_t> chain;
  for (std::uint64_t i = 0; i < 3000; ++i) chain.push_back(kHeap + i * 448);
  f.PutChain(chain);
  REQUIRE(f.Read() == ReadOutcome::kTruncated);
  CHECK(f.frames.size() == StackReader::kMaxFrames);
  CHECK(f.reads < 400);
  REQUIRE(f.Read() == ReadOutcome::kTruncated);
  CHECK(f.frames.size() == StackReader::kMaxFrames);
  CHECK(f.reads == 1);
}

TEST_CASE("linked frames: a chain that goes round ends, one that leads nowhere gives none") {
  Fixture f;
  f.PutChain({kHeap + 448, kHeap});
  f.memory.Put(kHeap + f.layout.frame.previous, kHeap + 448);
  CHECK(f.Read() == ReadOutcome::kTruncated);
  f.memory.Put(kHeap + f.layout.frame.previous, std::uint64_t{0xfffffffffffff000});
  CHECK(f.Read() == ReadOutcome::kTorn);
  CHECK(f.frames.empty());
}

TEST_CASE("linked frames: memory that was given back is forgotten") {
  Fixture f;
  f.PutChain({kHeap + 0x20000, kHeap});
  REQUIRE(f.Read() == ReadOutcome::kStack);
  f.memory.Unmap(kHeap + 0x20000);
  f.PutChain({kHeap});
  REQUIRE(f.Read() == ReadOutcome::kStack);
  CHECK(f.frames.size() == 1);
}

TEST_CASE("linked frames: a state or a pthread that is another thread's by now is not read") {
  Fixture f;
  f.PutChain({kHeap});
  f.memory.Put(kPthread + 720, std::int32_t{78});
  CHECK(f.Read() == ReadOutcome::kMoved);
  f.memory.Put(kPthread + 720, std::int32_t{77});
  f.memory.Put(kThread + f.layout.thread.thread_id, kPthread + 0x1000);
  CHECK(f.Read() == ReadOutcome::kMoved);
}

TEST_CASE("where libc keeps a thread's id is found out, or left open") {
  FakeMemory memory;
  const std::vector<RemoteAddress> pthreads = {RemoteAddress(kPthread),
                                               RemoteAddress(kPthread + 0x4000)};
  for (const RemoteAddress pthread : pthreads) {
    for (std::uint64_t i = 0; i < 1024; i += 4) memory.Put(pthread.value() + i, std::int32_t{-5});
  }
  PthreadIds ids(memory);
  ids.Learn(pthreads, kTid);
  CHECK_FALSE(ids.IsKnown());
  memory.Put(kPthread + 48, std::int32_t{77});  // musl
  memory.Put(kPthread + 0x4000 + 48, std::int32_t{78});
  SECTION("one place") {
    ids.Learn(pthreads, kTid);
    REQUIRE(ids.IsKnown());
    CHECK(ids.AddressOf(pthreads[1]).value() == kPthread + 0x4000 + 48);
  }
  SECTION("not the thread's") {
    ids.Learn(pthreads, InnerTid{79});
    CHECK_FALSE(ids.IsKnown());
  }
  SECTION("two places") {
    memory.Put(kPthread + 60, std::int32_t{77});
    memory.Put(kPthread + 0x4000 + 60, std::int32_t{80});
    ids.Learn(pthreads, kTid);
    CHECK_FALSE(ids.IsKnown());
  }
  SECTION("the same in all of them is no thread's id") {
    memory.Put(kPthread + 0x4000 + 48, std::int32_t{77});
    ids.Learn(pthreads, kTid);
    CHECK_FALSE(ids.IsKnown());
  }
}

TEST_CASE("a table is compared with what the type says of its members") {
  const Layout& layout = *TableLayout(Version{0x030812f0});
  constexpr std::uint64_t kType = 0x40000;
  constexpr std::uint64_t kMembers = 0x41000;
  constexpr std::uint64_t kText = 0x42000;
  FakeMemory memory;
  memory.Put(kType + 240, kMembers);
  std::uint64_t at = kMembers;
  const auto member = [&](std::string_view name, std::uint64_t offset) {
    const std::uint64_t text = kText + (at - kMembers) * 2;
    memory.PutText(text, name);
    memory.Put(at, text);
    memory.Put(at + 16, offset);
    at += 40;
    memory.Put(at, std::uint64_t{0});
  };
  member("co_argcount", 16);
  member("co_name", layout.code.name);
  member("co_lnotab", layout.code.line_table);
  CHECK(CheckMembers(memory, layout, RemoteAddress(kType), {}));
  member("co_filename", layout.code.filename + 16);  // such as Py_TRACE_REFS makes it
  const auto checked = CheckMembers(memory, layout, RemoteAddress(kType), {});
  REQUIRE_FALSE(checked);
  CHECK(checked.error().code == Errc::kMalformed);
  CHECK(checked.error().Message().find("co_filename is at 120, not at 104") != std::string::npos);
}

TEST_CASE("a version's full number is in the text of sys.version") {
  FakeMemory memory;
  memory.PutText(kHeap, "x");
  memory.PutText(kHeap + 100, "3.8.x 3.8.300 (3.8.18 3.8.18 (default, Jan  1 2026)");
  const Version minor{0x03080000};
  const auto version = FindVersionText(memory, minor, RemoteAddress(kHeap), 4096);
  REQUIRE(version);
  CHECK(version->Text() == "3.8.18");
  CHECK_FALSE(FindVersionText(memory, Version{0x03090000}, RemoteAddress(kHeap), 4096));
  CHECK_FALSE(FindVersionText(memory, minor, RemoteAddress(0x999000), 4096));
}
