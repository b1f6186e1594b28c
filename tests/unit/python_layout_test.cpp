// SPDX-License-Identifier: Apache-2.0
#include <utility>
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

// Of 3.14.10 and 3.15.2 (Debian), as read from living ones.
std::vector<std::uint64_t> Words314() {
  return {0,    0x30e0af0, 0,    316616, 784,  808, 225864, 7280, 7272, 7344, 7360, 7408,
          7688, 7672,      7680, 16,     7784, 0,   7800,   7792, 7992, 0,    832,  0,
          8,    16,        72,   152,    160,  232, 32,     88,   8,    0,    56,   80,
          74,   64,        0,    216,    112,  120, 128,    136,  68,   52,   96,   104,
          208,  0,         16,   8,      416,  24,  88,     168,  40,   32,   16,   40,
          24,   16,        200,  24,     40,   32,  48,     32,   40,   24,   16,   32,
          16,   24,        40,   16,     32,   64,  32,     16,   40,   264,  192,  160,
          24,   72,        67,   0,      8,    24,  304,    8076, 0,    4,    512,  1};
}

std::vector<std::uint64_t> Words315() {
  return {0,    0x30f02f0, 0,   346568, 912, 936,  226240, 7272, 7264, 7336, 7352, 7400, 7592,
          7576, 7584,      16,  7736,   0,   7752, 7744,   7944, 0,    888,  0,    8,    16,
          72,   80,        88,  96,     176, 184,  256,    32,   36,   40,   136,  288,  0,
          88,   8,         0,   56,     80,  74,   64,     0,    216,  112,  120,  128,  136,
          68,   52,        96,  104,    208, 0,    16,     8,    424,  24,   88,   168,  32,
          288,  944,       888, 40,     32,  16,   40,     24,   16,   200,  24,   40,   32,
          48,   32,        40,  24,     16,  32,   16,     24,   40,   16,   32,   64,   32,
          16,   40,        56,  176,    112, 120,  1120,   104,  160,  24,   72,   67};
}

FakeMemory MemoryWith(const std::vector<std::uint64_t>& words) {
  FakeMemory memory;
  for (std::size_t i = 0; i < words.size(); ++i) memory.Put(kRuntime + 8 * i, words[i]);
  for (std::size_t i = words.size(); i < 120; ++i) memory.Put(kRuntime + 8 * i, std::uint64_t{0});
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
  const std::vector<std::pair<std::size_t, std::uint64_t>> wrong = {
      {23, 100000},  // current_frame lies outside the thread state
      {29, 76},      // previous reaches out of the frame
      {36, 8},       // co_name would be part of PyObject
      {36, 500},     // and behind what is read of a code object
  };
  for (const auto& [word, offset] : wrong) {
    auto words = Words313();
    words[word] = offset;
    words[34] = 1000;  // the size of a code object
    FakeMemory memory = MemoryWith(words);
    const auto layout = ReadDebugOffsets(memory, RemoteAddress(kRuntime));
    REQUIRE_FALSE(layout);
    CHECK(layout.error().code == Errc::kMalformed);
  }
}

TEST_CASE("debug offsets of 3.14 and 3.15 have forms of their own") {
  for (const auto& words : {Words314(), Words315()}) {
    FakeMemory memory = MemoryWith(words);
    const auto layout = ReadDebugOffsets(memory, RemoteAddress(kRuntime));
    REQUIRE(layout);
    CHECK(layout->thread.frame == 72);
    CHECK(layout->frame.size == 88);
    CHECK(layout->frame.owner == 74);
    CHECK(layout->frame.tag_bits == 3);
    CHECK(layout->code.line_table == 136);
    CHECK(layout->code.instructions == 208);
    CHECK(layout->unicode.compact_data == 56);
    CHECK(layout->unicode.kind_bit == 2);
    CHECK(layout->frame.tlbc_index == 0);
    CHECK(layout->coroutine.frame == 72);
    CHECK(layout->coroutine.state == 67);
    CHECK(layout->coroutine.frame_stack_top == 64);
  }
  FakeMemory memory = MemoryWith(Words315());
  CHECK(ReadDebugOffsets(memory, RemoteAddress(kRuntime))->thread.native_thread_id == 184);
}

TEST_CASE("a later version is read if its offsets have the form of the last one known") {
  auto words = Words315();
  words[1] = 0x3100000;  // 3.16
  FakeMemory same = MemoryWith(words);
  CHECK(ReadDebugOffsets(same, RemoteAddress(kRuntime)));
  words.insert(words.begin() + 30, 168);  // one more field in the thread state
  FakeMemory other = MemoryWith(words);
  CHECK(ReadDebugOffsets(other, RemoteAddress(kRuntime)).error().code == Errc::kMalformed);
  words = Words314();
  words[1] = 0x30f00a1;  // an early pre-release, still in the old form
  FakeMemory early = MemoryWith(words);
  CHECK(ReadDebugOffsets(early, RemoteAddress(kRuntime)).error().code == Errc::kMalformed);
}

TEST_CASE("where the GIL's holder and the collector are told") {
  FakeMemory v313 = MemoryWith(Words313());
  const auto layout313 = ReadDebugOffsets(v313, RemoteAddress(kRuntime));
  REQUIRE(layout313);
  CHECK(layout313->gil.interpreter_gil == 16);
  CHECK(layout313->gil.last_holder == 8);
  CHECK(layout313->gil.locked == 16);
  CHECK(layout313->gc.interpreter_collecting == 7600);
  CHECK(layout313->gc.interpreter_frame == 0);
  auto words = Words315();
  FakeMemory v315 = MemoryWith(words);
  CHECK(ReadDebugOffsets(v315, RemoteAddress(kRuntime))->gc.interpreter_frame == 7400 + 120);
  words[99] = 168;  // something behind the frame
  FakeMemory longer = MemoryWith(words);
  CHECK(ReadDebugOffsets(longer, RemoteAddress(kRuntime))->coroutine.frame == 0);
  words[95] = 9999;  // outside: left out, the rest is read
  FakeMemory odd = MemoryWith(words);
  const auto without = ReadDebugOffsets(odd, RemoteAddress(kRuntime));
  REQUIRE(without);
  CHECK(without->gc.interpreter_collecting == 0);
  CHECK(without->gil.IsKnown());
  CHECK(TableLayout(Version{0x030703f0})->gil.runtime_holder !=
        TableLayout(Version{0x030704f0})->gil.runtime_holder);
}

TEST_CASE("objects that claim to be free-threaded, and are not, are refused") {
  auto words = Words314();
  words[2] = 1;
  FakeMemory memory = MemoryWith(words);
  CHECK(ReadDebugOffsets(memory, RemoteAddress(kRuntime)).error().code == Errc::kMalformed);
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

TEST_CASE("versions are shown as their makers write them") {
  CHECK(Version{0x030c01f0}.Text() == "3.12.1");
  CHECK(Version{0x030f00b2}.Text() == "3.15.0b2");
  CHECK(Version{0x030f00c3}.Text() == "3.15.0rc3");
  CHECK(Version{0x03080000}.Text() == "3.8");
}
