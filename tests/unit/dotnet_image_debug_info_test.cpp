// SPDX-License-Identifier: Apache-2.0
// Debug info of a ReadyToRun image, written by hand.
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "spies/dotnet/image_debug_info.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::dotnet;

namespace {

constexpr std::uint64_t kImage = 0x7f00'0000'0000;
constexpr std::uint32_t kHeader = 0x100;
constexpr std::uint32_t kFunctions = 0x800;
constexpr std::uint32_t kDebugInfo = 0x2000;

// A tree of functions 0, 1 and 5 of six; the second has the same as the first.
const std::vector<unsigned> kTree = {0x02,                          // 8: left
                                     0x4e,                          // 4: left, and right 9 bytes on
                                     0x02,                          // 2: left
                                     0x36,                          // 1: left, and right 6 bytes on
                                     0x00, 0xa1, 0xa2, 0xa3, 0xa4,  // 0
                                     0x08,                          // 1: 4 bytes before
                                     0x28,                          // 5, alone
                                     0x00, 0xb1, 0xb2};

struct Fixture {
  FakeMemory memory;
  ImageDebugInfo info{.begin = RemoteAddress(kImage + kDebugInfo), .size = 0};

  void Put(std::initializer_list<unsigned> head) {
    std::vector<unsigned> all(head);
    all.insert(all.end(), kTree.begin(), kTree.end());
    for (std::size_t i = 0; i < all.size(); ++i) {
      memory.Put(kImage + kDebugInfo + i, static_cast<std::uint8_t>(all[i]));
    }
    info.size = static_cast<std::uint32_t>(all.size());
  }
  void PutHeader(std::uint16_t major, std::uint32_t count = 3) {
    memory.Put(kImage + kHeader, std::uint32_t{0x00525452});
    memory.Put(kImage + kHeader + 4, major);
    memory.Put(kImage + kHeader + 8, std::uint32_t{3});
    memory.Put(kImage + kHeader + 12, count);
    PutSection(0, 100, 0x700, 8);
    PutSection(1, 102, kFunctions, 36);
    PutSection(2, 105, kDebugInfo, 0x40);
  }
  void PutSection(std::uint64_t number, std::uint32_t type, std::uint32_t address,
                  std::uint32_t size) {
    const std::uint64_t place = kImage + kHeader + 16 + 12 * number;
    memory.Put(place, type);
    memory.Put(place + 4, address);
    memory.Put(place + 8, size);
  }
  Result<ImageDebugInfo> Find(std::uint64_t size = 0x3000) {
    return FindDebugInfo(memory, {.begin = RemoteAddress(kImage),
                                  .size = size,
                                  .header = RemoteAddress(kImage + kHeader),
                                  .functions = RemoteAddress(kImage + kFunctions)});
  }
  // The first bytes of it, in hex; "-": nothing is told.
  std::string Shown(std::uint32_t function) {
    const auto bytes = ReadDebugInfo(memory, info, function);
    if (!bytes) return "-";
    std::string text;
    for (const std::byte byte : *bytes) {
      if (text.size() < 4) text += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4];
      if (text.size() < 4) text += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 15];
    }
    return text;
  }
};

}  // namespace

TEST_CASE("dotnet image debug info: each function's, by numbers and indexes of every width") {
  Fixture f;
  const auto check = [&] {
    CHECK(f.Shown(0) == "a1a2");
    CHECK(f.Shown(1) == "a1a2");
    CHECK(f.Shown(5) == "b1b2");
    for (const std::uint32_t function : {2u, 3u, 4u, 6u, 16u, ~0u}) CHECK(f.Shown(function) == "-");
  };
  f.Put({0x30, 1});
  check();
  f.Put({0x61, 0, 1});
  check();
  f.Put({0xc3, 0, 0, 1});
  check();
  f.Put({0x87, 1, 0, 0, 1});
  check();
  f.Put({0x0f, 24, 0, 0, 0, 1});
  check();
  f.Put({0x32, 2, 0});
  check();
  f.Put({0x34, 4, 0, 0, 0});
  check();
}

TEST_CASE("dotnet image debug info: what is cut off, or leads out of the section") {
  Fixture f;
  f.Put({0x30, 1});
  const std::uint32_t whole = f.info.size;
  for (f.info.size = 0; f.info.size < whole - 2; ++f.info.size) CHECK(f.Shown(5) == "-");
  f.Put({0x30, 200});
  CHECK(f.Shown(0) == "-");
  f.Put({0x1f, 1});  // a number of no width
  CHECK(f.Shown(0) == "-");
  f.Put({0x30, 1});
  f.memory.Put(kImage + kDebugInfo + 11, std::uint8_t{24});  // more than there is before it
  CHECK(f.Shown(1) == "-");
  f.memory.Unmap(kImage + kDebugInfo);
  CHECK(f.Shown(0) == "-");
}

TEST_CASE("dotnet image debug info: the form goes by the image's version") {
  Fixture f;
  const std::initializer_list<std::pair<std::uint16_t, bool>> known = {
      {6, false}, {9, false}, {10, false}, {16, true}};
  for (const auto& [major, packed] : known) {
    f.PutHeader(major);
    const auto info = f.Find();
    REQUIRE(info);
    CHECK(info->begin == RemoteAddress(kImage + kDebugInfo));
    CHECK(info->size == 0x40);
    CHECK(info->packed_bounds == packed);
  }
  for (const std::uint16_t major : {std::uint16_t{5}, std::uint16_t{17}}) {
    f.PutHeader(major);
    CHECK(f.Find().error().code == Errc::kUnsupported);
  }
}

TEST_CASE("dotnet image debug info: headers that are not the image's") {
  Fixture f;
  f.PutHeader(16);
  f.PutSection(1, 102, kFunctions + 12, 36);
  CHECK_FALSE(f.Find());
  f.PutHeader(16);
  CHECK_FALSE(f.Find(kDebugInfo + 0x3f));
  f.PutSection(2, 105, ~0u, ~0u);
  CHECK_FALSE(f.Find());
  f.PutHeader(16, 65);
  CHECK_FALSE(f.Find());
  f.PutHeader(16, 2);  // without debug info
  CHECK(f.Find()->size == 0);
  f.memory.Put(kImage + kHeader, std::uint32_t{0});
  CHECK_FALSE(f.Find());
}
