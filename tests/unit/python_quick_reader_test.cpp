// SPDX-License-Identifier: Apache-2.0
// Quick looks accept what StackReader has accepted, and nothing else.
#include <vector>

#include "spies/python/quick_reader.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kThread = 0x10000;
constexpr std::uint64_t kInterpreter = 0x18000;
constexpr std::uint64_t kCFrame = 0x20000;
constexpr std::uint64_t kShim = 0x28000;  // on the C stack
constexpr std::uint64_t kStack = 0x30000;
constexpr std::uint64_t kCode = 0x100000;  // and 0x1000 further on for each other one
constexpr std::uint64_t kName = 0x80000;
constexpr std::uint64_t kLines = 0x82000;
constexpr InnerTid kTid{77};
const Layout& kLayout = *TableLayout(Version{0x030c01f0});

// CPython 3.12: code 0 calls code 1, which calls code 2; each has 8 instructions, two to a line.
struct Fixture {
  FakeMemory memory;
  FunctionTable functions;
  StackReader reader{memory, kLayout};
  CodeCache codes{memory, kLayout, RemoteAddress(), functions};
  QuickReader quick{memory, kLayout, codes};
  ThreadState state{.address = RemoteAddress(kThread),
                    .interpreter_id = 0,
                    .cframe = {},
                    .regions = {},
                    .native_id = kTid,
                    .pthread = {},
                    .tid_address = {},
                    .known = {}};
  std::vector<RawFrame> frames;
  Stack named;
  MonotonicTime now = SystemClock().Now();

  Fixture() {
    memory.Put(kThread + kLayout.thread.frame, kCFrame);
    memory.Put(kThread + kLayout.thread.native_thread_id, std::int64_t{77});
    memory.Put(kInterpreter + kLayout.gc.interpreter_collecting, 0);
    state.places.collecting = RemoteAddress(kInterpreter + kLayout.gc.interpreter_collecting);
    PutString(kName, "handle");
    // Four short entries of two units; from the second on each a line further.
    for (std::uint64_t i = 0; i < 4; ++i) {
      const unsigned kind = i == 0 ? 10 : 11;
      memory.Put(kLines + kLayout.bytes.data + 3 * i,
                 static_cast<std::uint8_t>(0x80 | kind << 3 | 1));
      memory.Put(kLines + kLayout.bytes.data + 3 * i + 1, std::uint16_t{0});
    }
    memory.Put(kLines + kLayout.bytes.size, std::uint64_t{12});
    for (std::uint64_t i = 0; i < 4; ++i) {
      memory.Put(CodeOf(i) + 8, std::uint64_t{0});
      memory.Put(CodeOf(i) + kLayout.code.first_line, std::uint32_t{10});
      for (const std::uint32_t field :
           {kLayout.code.filename, kLayout.code.name, kLayout.code.qualname}) {
        memory.Put(CodeOf(i) + field, kName);
      }
      memory.Put(CodeOf(i) + kLayout.code.line_table, kLines);
    }
    PutFrame(kShim, 0, 0, 0, 3);
    PutFrame(kStack, CodeOf(0), 0, kShim);
    PutFrame(kStack + 96, CodeOf(1), 0, kStack);
    PutFrame(kStack + 192, CodeOf(2), 0, kStack + 96);
    SetCurrent(kStack + 192);
  }
  static std::uint64_t CodeOf(std::uint64_t number) { return kCode + 0x1000 * number; }
  void PutString(std::uint64_t address, std::string_view text) {
    memory.Put(address + kLayout.unicode.length, std::uint64_t{text.size()});
    memory.Put(address + kLayout.unicode.state, std::uint32_t{1u << 2 | 1u << 5 | 1u << 6});
    memory.PutText(address + kLayout.unicode.ascii_data, text);
  }
  void PutFrame(std::uint64_t address, std::uint64_t code, std::uint64_t unit,
                std::uint64_t previous, std::uint8_t owner = 0) {
    memory.Put(address + kLayout.frame.executable, code);
    memory.Put(address + kLayout.frame.previous, previous);
    memory.Put(address + kLayout.frame.instruction, code + kLayout.code.instructions + 2 * unit);
    memory.Put(address + kLayout.frame.owner, owner);
  }
  void SetCurrent(std::uint64_t frame) {
    memory.Put(kCFrame + kLayout.thread.cframe_current_frame, frame);
  }
  // As the spy does it.
  bool Begin() {
    frames.clear();
    REQUIRE(reader.Read(state, kTid, ReadMode::kRunning, frames) == ReadOutcome::kStack);
    CodeIdentities seen;
    REQUIRE(codes.Identify(frames, CodeEpoch(), seen));
    REQUIRE(codes.Name(frames, CodeEpoch(), seen, named));
    return quick.Begin(state, frames, reader.root(), named, now += std::chrono::microseconds(1));
  }
  Stack StackOf(std::uint32_t number) const {
    Stack stack;
    quick.StackOf(number, stack);
    return stack;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture,
                 "quick looks: the stack read before, at any line of the leaf, in one read") {
  REQUIRE(Begin());
  memory.reads = 0;
  const auto first = quick.Look();
  REQUIRE(first);
  CHECK(memory.reads == 1);
  CHECK(StackOf(*first) == named);
  PutFrame(kStack + 192, CodeOf(2), 1, kStack + 96);
  CHECK(quick.Look() == first);  // the same line
  PutFrame(kStack + 192, CodeOf(2), 5, kStack + 96);
  const auto other = quick.Look();
  REQUIRE(other);
  CHECK(StackOf(*other)[0].line == named[0].line + 2);
  CHECK(StackOf(*other)[1] == named[1]);
  CHECK(quick.End() == 3);
}

TEST_CASE_METHOD(Fixture,
                 "quick looks: a caller elsewhere, another function or height is for the reader") {
  REQUIRE(Begin());
  PutFrame(kStack + 96, CodeOf(1), 3, kStack);
  CHECK_FALSE(quick.Look());
  PutFrame(kStack + 96, CodeOf(1), 0, kStack);
  PutFrame(kStack + 192, CodeOf(3), 0, kStack + 96);
  CHECK_FALSE(quick.Look());
  SetCurrent(kStack + 96);
  CHECK_FALSE(quick.Look());
  // Each is known from then on.
  REQUIRE(Begin());
  const auto flat = quick.Look();
  REQUIRE(flat);
  CHECK(StackOf(*flat).size() == 2);
  PutFrame(kStack + 192, CodeOf(2), 0, kStack + 96);
  SetCurrent(kStack + 192);
  CHECK(quick.Look());
}

TEST_CASE_METHOD(Fixture, "quick looks: an instruction outside the leaf's code is another's") {
  REQUIRE(Begin());
  PutFrame(kStack + 192, CodeOf(2), 900, kStack + 96);
  CHECK_FALSE(quick.Look());
}

TEST_CASE_METHOD(Fixture, "quick looks: a current frame that changes under every try gives none") {
  REQUIRE(Begin());
  memory.between = [&](int range) {
    if (range == 0) SetCurrent(kStack + 192);
    if (range == 3) SetCurrent(kStack + 96);  // the look behind the copy
  };
  CHECK_FALSE(quick.Look());
}

TEST_CASE_METHOD(Fixture, "quick looks: the state of another thread gives none") {
  REQUIRE(Begin());
  memory.Put(kThread + kLayout.thread.native_thread_id, std::int64_t{78});
  CHECK_FALSE(quick.Look());
}

TEST_CASE_METHOD(Fixture,
                 "quick looks: those before another code object came into the place are none") {
  REQUIRE(Begin());
  REQUIRE(quick.Look());
  const std::uint64_t generation = quick.generation();
  memory.Put(CodeOf(1) + kLayout.code.first_line, std::uint32_t{99});
  CHECK(quick.End() == 0);
  CHECK(quick.generation() != generation);
}

TEST_CASE_METHOD(
    Fixture, "quick looks: only those before the last time that nothing was collected are sure") {
  REQUIRE(Begin());
  for (int i = 0; i < 11; ++i) REQUIRE(quick.Look());  // the 8th looks at the collector
  memory.Put(state.places.collecting.value(), 1);
  CHECK(quick.End() == 8);
  REQUIRE(Begin());
  for (int i = 0; i < 7; ++i) REQUIRE(quick.Look());
  CHECK_FALSE(quick.Look());
}

TEST_CASE_METHOD(Fixture, "quick looks: what was not looked after for long is read anew") {
  REQUIRE(Begin());
  REQUIRE(quick.Look());
  SetCurrent(kStack + 96);
  now += std::chrono::seconds(1);
  REQUIRE(Begin());
  REQUIRE(quick.Look());
  SetCurrent(kStack + 192);
  CHECK_FALSE(quick.Look());  // its leaf's code may be another by now
}
