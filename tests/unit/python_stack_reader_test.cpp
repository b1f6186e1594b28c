// SPDX-License-Identifier: Apache-2.0
// The reader against memory that changes under it.
#include "spies/python/stack_reader.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kThread = 0x10000;
constexpr std::uint64_t kCFrame = 0x20000;
constexpr std::uint64_t kShim = 0x28000;  // on the C stack
constexpr std::uint64_t kStack = 0x30000;
constexpr InnerTid kTid{77};
const Layout& kLayout = *TableLayout(Version{0x030c01f0});

// CPython 3.12: three frames on the data stack above the marker of the entry from C.
struct Fixture {
  FakeMemory memory;
  StackReader reader{memory, kLayout};
  ThreadState state{.address = RemoteAddress(kThread),
                    .interpreter_id = 0,
                    .cframe = {},
                    .regions = {},
                    .pthread = {},
                    .tid_address = {},
                    .known = {}};
  std::vector<RawFrame> frames;

  Fixture() {
    memory.Put(kThread + kLayout.thread.frame, kCFrame);
    memory.Put(kThread + kLayout.thread.native_thread_id, std::int64_t{77});
    PutFrame(kShim, 0, 0, 3);
    PutFrame(kStack, 0xc0de0, kShim, 0);
    PutFrame(kStack + 100, 0xc0de1, kStack, 0);
    PutFrame(kStack + 200, 0xc0de2, kStack + 100, 0);
    SetCurrent(kStack + 200);
  }
  void PutFrame(std::uint64_t address, std::uint64_t code, std::uint64_t previous,
                std::uint8_t owner) {
    address = Round(address);
    memory.Put(address + kLayout.frame.executable, code);
    memory.Put(address + kLayout.frame.previous, Round(previous));
    memory.Put(address + kLayout.frame.instruction, code + 1000);
    memory.Put(address + kLayout.frame.owner, owner);
  }
  void SetCurrent(std::uint64_t frame) {
    memory.Put(kCFrame + kLayout.thread.cframe_current_frame, Round(frame));
  }
  static std::uint64_t Round(std::uint64_t address) { return address / 8 * 8; }
  ReadOutcome Read() {
    frames.clear();
    return reader.Read(state, kTid, ReadMode::kRunning, frames);
  }
  [[nodiscard]] std::vector<std::uint64_t> Codes() const {
    std::vector<std::uint64_t> codes;
    for (const RawFrame& frame : frames) codes.push_back(frame.code.value());
    return codes;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a stack is read leaf first, without the markers of entries from C") {
  REQUIRE(Read() == ReadOutcome::kStack);
  CHECK(Codes() == std::vector<std::uint64_t>{0xc0de2, 0xc0de1, 0xc0de0});
  memory.reads = 0;
  REQUIRE(Read() == ReadOutcome::kStack);
  CHECK(memory.reads == 1);  // predicted
}

TEST_CASE_METHOD(Fixture, "a frame that changes between the copies is read again") {
  REQUIRE(Read() == ReadOutcome::kStack);
  int calls = 0;
  memory.between = [&](int range) {
    // Behind the first copy, once: the leaf returns and another function is called in its place.
    if (range == 4 && calls++ == 0) PutFrame(kStack + 200, 0xc0de9, kStack + 100, 0);
  };
  REQUIRE(Read() == ReadOutcome::kStack);
  CHECK(Codes() == std::vector<std::uint64_t>{0xc0de9, 0xc0de1, 0xc0de0});
  CHECK(calls > 0);
}

TEST_CASE_METHOD(Fixture, "a stack that changes under every try is torn, and gives no frames") {
  REQUIRE(Read() == ReadOutcome::kStack);
  std::uint64_t next = 0;
  memory.between = [&](int) { PutFrame(kStack + 200, 0xc0d00 + next++, kStack + 100, 0); };
  CHECK(Read() == ReadOutcome::kTorn);
  CHECK(frames.empty());
}

TEST_CASE_METHOD(Fixture, "a chain without its root is torn") {
  PutFrame(kStack, 0xc0de0, 0, 0);  // ends at a frame that is no entry from C
  CHECK(Read() == ReadOutcome::kTorn);
  CHECK(frames.empty());
}

TEST_CASE_METHOD(Fixture, "a chain that goes round ends") {
  PutFrame(kStack, 0xc0de0, kStack + 200, 0);
  CHECK(Read() == ReadOutcome::kTorn);
}

TEST_CASE_METHOD(Fixture, "memory that was given back makes it look anew") {
  REQUIRE(Read() == ReadOutcome::kStack);
  memory.Unmap(kStack);
  PutFrame(0x50000, 0xc0de5, kShim, 0);
  SetCurrent(0x50000);
  REQUIRE(Read() == ReadOutcome::kStack);
  CHECK(Codes() == std::vector<std::uint64_t>{0xc0de5});
}

TEST_CASE_METHOD(Fixture, "a state of another thread is not taken for this one's") {
  memory.Put(kThread + kLayout.thread.native_thread_id, std::int64_t{78});
  CHECK(Read() == ReadOutcome::kMoved);
}

TEST_CASE_METHOD(Fixture, "a thread that runs no Python has no frames") {
  SetCurrent(0);
  CHECK(Read() == ReadOutcome::kStack);
  CHECK(frames.empty());
}

TEST_CASE_METHOD(Fixture, "a stack past the limit keeps its leaf side") {
  std::uint64_t previous = kShim;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    PutFrame(0x100000 + i * 96, 0xc0000 + i, previous, 0);
    previous = 0x100000 + i * 96;
  }
  SetCurrent(previous);
  REQUIRE(Read() == ReadOutcome::kTruncated);
  REQUIRE(frames.size() == StackReader::kMaxFrames);
  CHECK(frames.front().code.value() == 0xc0000 + 2999);
}

TEST_CASE_METHOD(Fixture, "addresses that lead nowhere cost a bounded number of reads") {
  SetCurrent(0xfffffffffffff000);
  CHECK(Read() == ReadOutcome::kTorn);
  CHECK(memory.reads < 100);
}

TEST_CASE("what wraps round the end of memory does not lie in a region") {
  const python::Region region{RemoteAddress(0x1000), 64};
  CHECK(region.OffsetOf(RemoteAddress(0x1000), 64) == 0);
  CHECK(region.OffsetOf(RemoteAddress(0x1030), 16) == 0x30);
  for (const std::uint64_t address : {0x1031ul, 0x1040ul, 0xff8ul, ~0x7ul, 0ul}) {
    CHECK_FALSE(region.OffsetOf(RemoteAddress(address), 16));
  }
  CHECK_FALSE(region.OffsetOf(RemoteAddress(0x1000), 65));
}

TEST_CASE_METHOD(Fixture, "what earlier calls left above another frame is no stack") {
  REQUIRE(Read() == ReadOutcome::kStack);
  memory.between = [&](int range) {
    // Behind the first look at the current frame all have returned, and another function is in the
    // lowest one's place. Before the last look, the same height is reached again.
    if (range == 2) {
      PutFrame(kStack, 0xc0de9, kShim, 0);
      SetCurrent(kStack);
    }
    if (range == 6) SetCurrent(kStack + 200);
  };
  CHECK(Read() == ReadOutcome::kTorn);
}

TEST_CASE_METHOD(Fixture, "a caller that runs on between the copies is torn, a leaf may") {
  REQUIRE(Read() == ReadOutcome::kStack);
  std::uint64_t instruction = 0xc0de0;
  memory.between = [&](int) {
    memory.Put(Round(kStack + 200) + kLayout.frame.instruction, instruction += 2);
  };
  CHECK(Read() == ReadOutcome::kStack);
  memory.between = [&](int) {
    memory.Put(Round(kStack + 100) + kLayout.frame.instruction, instruction += 2);
  };
  CHECK(Read() == ReadOutcome::kTorn);
}

TEST_CASE_METHOD(Fixture, "who holds the GIL and who collects comes with the stack, in one read") {
  constexpr std::uint64_t kInterpreter = 0x60000;
  constexpr std::uint64_t kGil = 0x61000;
  constexpr std::uint64_t kCallbacks = 0x62000;
  state.places = ActivityPlaces::Of(kLayout, {}, RemoteAddress(kInterpreter), RemoteAddress(kGil),
                                    RemoteAddress(kCallbacks));
  const auto put = [&](std::uint64_t holder, int locked, int collecting, std::uint64_t switches) {
    memory.Put(kGil + kLayout.gil.last_holder, holder);
    memory.Put(kGil + kLayout.gil.locked, locked);
    memory.Put(kGil + kLayout.gil.locked + 8, switches);
    memory.Put(kInterpreter + kLayout.gc.interpreter_collecting, collecting);
    memory.Put(kCallbacks + 16, std::uint64_t{0});
  };
  CollectorWatch watch;
  const auto read = [&] {
    const ReadOutcome outcome = Read();
    watch.See(state.places, state.activity);
    return outcome;
  };
  put(kThread, 1, 0, 7);
  REQUIRE(read() == ReadOutcome::kStack);
  CHECK(state.activity.HoldsGil(state.address));
  CHECK_FALSE(state.gc_at);
  memory.reads = 0;
  put(kThread, 1, 1, 7);
  REQUIRE(read() == ReadOutcome::kStack);
  CHECK(memory.reads == 1);
  CHECK(state.gc_at == 0);
  CHECK(state.entries == 1);
  CHECK(watch.HolderCollects(state.places, state.activity));
  // The GIL has changed hands since: the other one may be in a finalizer.
  put(kThread, 1, 1, 8);
  REQUIRE(read() == ReadOutcome::kStack);
  CHECK_FALSE(watch.HolderCollects(state.places, state.activity));
  put(kThread, 0, 1, 7);
  REQUIRE(read() == ReadOutcome::kStack);
  CHECK_FALSE(state.activity.HoldsGil(state.address));
  CHECK_FALSE(state.gc_at);
  put(kThread + 8, 1, 1, 7);
  REQUIRE(read() == ReadOutcome::kStack);
  CHECK_FALSE(state.gc_at);
}
