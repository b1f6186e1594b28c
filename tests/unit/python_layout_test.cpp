// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "spies/python/debug_offsets.h"
#include "spies/python/layout.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kRuntime = 0x10000;

// The words of CPython 3.13.0, as read from a live one.
std::vector<std::uint64_t> Words313() {
  return {0,    0x30d00f0, 0,    283320, 608,  632,  194968, 7272, 7264, 7344, 7400, 7656, 7640,
          7648, 16,        7752, 0,      7768, 7760, 304,    0,    8,    16,   72,   152,  160,
          232,  32,        80,   8,      0,    56,   72,     70,   208,  112,  120,  128,  136,
          68,   52,        96,   104,    200,  16,   8,      416,  24,   88,   168,  32,   24,
          16,   40,        24,   16,     48,   32,   40,     24,   16,   32,   16,   24,   40,
          16,   32,        64,   32,     16,   40,   240,    200};
}

FakeMemory MemoryWith(const std::vector<std::uint64_t>& words) {
  FakeMemory memory;
  for (std::size_t i = 0; i < words.size(); ++i) memory.Put(kRuntime + 8 * i, words[i]);
  memory.PutText(kRuntime, "xdebugpy");
  return memory;
}

}  // namespace

TEST_CASE("debug offsets of 3.13 give its layout") {
  FakeMemory memory = MemoryWith(Words313());
  const auto version = ReadDebugOffsetsVersion(memory, RemoteAddress(kRuntime));
  REQUIRE(version);
  CHECK(version->minor() == 13);
  CHECK(version->micro() == 0);
  const auto layout = ReadDebugOffsets(memory, RemoteAddress(kRuntime));
  REQUIRE(layout);
  CHECK(layout->runtime.interpreters_head == 632);
  CHECK(layout->interpreter.threads_head == 7344);
  CHECK(layout->thread.frame == 72);
  CHECK_FALSE(layout->thread.frame_is_in_cframe);
  CHECK(layout->thread.native_thread_id == 160);
  CHECK(layout->frame.owner == 70);
  CHECK(layout->code.instructions == 200);
  CHECK(layout->unicode.ascii_data == 40);
  CHECK(layout->unicode.compact_data == 56);
}

TEST_CASE("debug offsets that cannot be true are refused") {
  auto words = Words313();
  words[23] = 100000;  // current_frame lies outside the thread state
  FakeMemory memory = MemoryWith(words);
  const auto layout = ReadDebugOffsets(memory, RemoteAddress(kRuntime));
  REQUIRE_FALSE(layout);
  CHECK(layout.error().code == Errc::kMalformed);
}

TEST_CASE("free-threaded builds and later versions are refused, not guessed") {
  auto words = Words313();
  words[2] = 1;
  FakeMemory free_threaded = MemoryWith(words);
  CHECK(ReadDebugOffsets(free_threaded, RemoteAddress(kRuntime)).error().code ==
        Errc::kUnsupported);
  words = Words313();
  words[1] = 0x30f00b4;
  FakeMemory later = MemoryWith(words);
  CHECK(ReadDebugOffsets(later, RemoteAddress(kRuntime)).error().code == Errc::kUnsupported);
}

TEST_CASE("tables are for 3.7 to 3.12") {
  CHECK(TableLayout(Version{0x03060ff0}) == nullptr);
  CHECK(TableLayout(Version{0x030711f0})->frame.is_linked);
  CHECK(TableLayout(Version{0x030b07f0}) != nullptr);
  CHECK(TableLayout(Version{0x030c01f0}) != nullptr);
  CHECK(TableLayout(Version{0x030a0df0})->frame.is_linked);
  CHECK_FALSE(TableLayout(Version{0x030b07f0})->frame.is_linked);
  CHECK(TableLayout(Version{0x030d00f0}) == nullptr);
  CHECK(TableLayout(Version{0x040b0000}) == nullptr);
}
