// SPDX-License-Identifier: Apache-2.0
// The runtime's map of its code, made by hand in memory.
#include <array>
#include <utility>

#include "spies/dotnet/code_map.h"
#include "tests/support/catch.h"
#include "tests/support/dotnet_code.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::dotnet;

namespace {

constexpr std::uint64_t kTop = testing::DotnetCode::kRanges;
constexpr std::uint64_t kCode = testing::DotnetCode::kBegin;
constexpr std::uint64_t kCodeEnd = testing::DotnetCode::kEnd;
constexpr std::uint64_t kMethodDesc = 0x50'0000;

struct Fixture {
  FakeMemory memory;
  testing::DotnetCode code{memory};
};

std::uint64_t MethodAt(CodeMap& map, std::uint64_t offset) {
  const CodeMap::Found found = map.Find(kCode + offset);
  return found.kind == CodeMap::Kind::kMethod ? found.code->method_desc : 0;
}

}  // namespace

TEST_CASE("dotnet code map: each address of a method leads to it") {
  Fixture f;
  f.code.PutMethod(0x48, 0x100, 0x51'0000);
  f.code.PutMethod(0x160, 0x20, 0x52'0000);
  f.code.PutMethod(0x188, 0x900, 0x53'0000);  // longer than words of the map
  const unsigned major = GENERATE(8u, 10u);
  if (major == 10) {
    for (std::uint64_t word = 2; word < 10; ++word) f.code.PutPointer(word, 0x188);
  }
  for (const std::uint64_t offset :
       {0x48u, 0x49u, 0x147u, 0x160u, 0x17fu, 0x188u, 0x2ffu, 0xa87u}) {
    CodeMap map(f.memory, *LayoutOf(major), RemoteAddress(kTop));
    const std::uint64_t expected = offset < 0x150   ? 0x51'0000
                                   : offset < 0x180 ? 0x52'0000
                                                    : 0x53'0000;
    CHECK(MethodAt(map, offset) == expected);
  }
}

TEST_CASE("dotnet code map: addresses of no method") {
  Fixture f;
  f.code.PutMethod(0x48, 0x10, kMethodDesc);
  CodeMap map(f.memory, *LayoutOf(10), RemoteAddress(kTop));
  CHECK(map.Find(kCode + 0x58).kind == CodeMap::Kind::kUnknown);  // behind it
  CHECK(map.Find(kCode + 0x10).kind == CodeMap::Kind::kUnknown);  // before it
  CHECK(map.Find(kCode - 1).kind == CodeMap::Kind::kNone);
  CHECK(map.Find(kCodeEnd).kind == CodeMap::Kind::kNone);
  CHECK(map.Find(~0ull).kind == CodeMap::Kind::kNone);
  f.memory.Put(kCode + 0x48 - 8, std::uint64_t{6});
  CHECK(map.Find(kCode + 0x48).kind == CodeMap::Kind::kStub);
  f.memory.Unmap(testing::DotnetCode::kNibbles);
  CHECK(map.Find(kCode + 0x100).kind == CodeMap::Kind::kUnknown);
}

TEST_CASE("dotnet code map: code that may go is looked up anew") {
  Fixture f;
  f.code.PutMethod(0x48, 0x100, 0x51'0000);
  SECTION("of a dynamic method") {
    MethodDescHead head{};
    head.flags = MethodDescHead::kDynamic;
    f.memory.Put(0x51'0000, head);
  }
  SECTION("in a heap that can be unloaded") {
    f.code.PutSection(RangeSection::kCodeHeap | RangeSection::kCollectible);
  }
  CodeMap map(f.memory, *LayoutOf(10), RemoteAddress(kTop));
  CHECK(MethodAt(map, 0x50) == 0x51'0000);
  f.memory.Put(testing::DotnetCode::HeaderOf(0x48) + 24, kMethodDesc);
  f.memory.Put(kMethodDesc, MethodDescHead{});
  CHECK(MethodAt(map, 0x50) == kMethodDesc);
}

TEST_CASE("dotnet code map: a precompiled image") {
  constexpr std::uint64_t kModule = 0x70'0000;
  constexpr std::uint64_t kInfo = 0x71'0000;
  constexpr std::uint64_t kFunctionTable = 0x72'0000;
  constexpr std::uint64_t kBuckets = 0x73'0000;
  const Layout& layout = *LayoutOf(10);
  Fixture f;
  f.code.PutSection(0, kModule);
  f.memory.Put(kModule + layout.module.ready_to_run, kInfo + 0x1000);  // a component's
  f.memory.Put(kInfo + 0x1000 + layout.ready_to_run.composite, kInfo);
  f.memory.Put(kInfo + layout.ready_to_run.composite, kInfo);
  f.memory.Put(kInfo + layout.ready_to_run.functions, kFunctionTable);
  f.memory.Put(kInfo + layout.ready_to_run.functions + 8, std::uint32_t{4});
  f.memory.Put(kInfo + layout.ready_to_run.Header(), kCode + 0x6000);
  f.memory.Put(kInfo + layout.ready_to_run.method_buckets, kBuckets);
  // A method, a funclet of it, another method, and the mark at the end.
  RuntimeFunction mark{};
  mark.begin = ~0u;
  const std::array<RuntimeFunction, 4> functions = {
      f.code.Entry(0x100, 0x180), f.code.Entry(0x180, 0x1a0), f.code.Entry(0x1a0, 0x200), mark};
  f.memory.Put(kFunctionTable, functions);
  constexpr std::uint32_t kSize = 7;
  for (std::size_t i = 0; i <= kSize; ++i) f.memory.Put(kBuckets + i * 64, HashBucket{});
  f.memory.Put(kBuckets, std::uint64_t{kSize});
  const auto put = [&](std::uint64_t key, std::uint64_t method, bool moved_on) {
    auto seed = static_cast<std::uint32_t>(key >> 2);
    const auto place = [&] { return kBuckets + std::uint64_t{seed % kSize + 1} * 64; };
    if (moved_on) {
      f.memory.Put(place() + 32, ~HashBucket::kValueMask);
      seed += 1 + (static_cast<std::uint32_t>(key >> 5) + 1) % (kSize - 1);
    }
    f.memory.Put(place() + 8, key);
    f.memory.Put(place() + 40, method >> 1);
    f.memory.Put(method, MethodDescHead{});
  };
  put(kCode + 0x100, 0x51'0000, false);
  put(kCode + 0x1a0, 0x52'0000, true);
  CodeMap map(f.memory, layout, RemoteAddress(kTop));
  CHECK(MethodAt(map, 0x17f) == 0x51'0000);
  CHECK(MethodAt(map, 0x180) == 0x51'0000);
  CHECK(MethodAt(map, 0x1ff) == 0x52'0000);
  // A funclet's debug info is its method's.
  const auto shown = [&](std::uint64_t offset) {
    const MethodCode& code = *map.Find(kCode + offset).code;
    return std::pair{code.start - kCode, code.function};
  };
  CHECK(shown(0x17f) == std::pair{0x100ul, 0u});
  CHECK(shown(0x180) == std::pair{0x100ul, 0u});
  CHECK(shown(0x1a0) == std::pair{0x1a0ul, 2u});
  CHECK(map.Find(kCode + 0x200).kind == CodeMap::Kind::kStub);
  CHECK(map.Find(kCode + 0x80).kind == CodeMap::Kind::kStub);
}
