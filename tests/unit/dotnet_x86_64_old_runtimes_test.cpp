// SPDX-License-Identifier: Apache-2.0
// What .NET 6 and 7 have otherwise than later ones, made by hand in memory: none was at hand to
// run.
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spies/dotnet/code_map.h"
#include "spies/dotnet/managed_frames.h"
#include "spies/dotnet/method_names.h"
#include "spies/dotnet/runtime.h"
#include "tests/support/catch.h"
#include "tests/support/fake_process.h"
#include "tests/support/metadata_image.h"

using namespace agent;
using namespace agent::dotnet;

namespace {

constexpr std::uint64_t kRanges = 0x10'0000;  // where the list's first is told
constexpr std::uint64_t kFirst = 0x10'1000;
constexpr std::uint64_t kSecond = 0x10'2000;
constexpr std::uint64_t kHeap = 0x11'0000;
constexpr std::uint64_t kNibbles = 0x12'0000;
constexpr std::uint64_t kHeader = 0x13'0000;
constexpr std::uint64_t kCode = 0x7f00'0001'0000;
constexpr std::uint64_t kImage = 0x7f00'0100'0000;
constexpr std::uint64_t kSize = 0x1'0000;  // of both
constexpr std::uint32_t kUnwind = 0x7000;
constexpr std::uint64_t kCore = 0x20'0000;  // Modules
constexpr std::uint64_t kMine = 0x21'0000;
constexpr std::uint64_t kBoxOfItem = 0x22'0000;  // MethodTables
constexpr std::uint64_t kBoxOfCanon = 0x22'1000;
constexpr std::uint64_t kItem = 0x22'2000;
constexpr std::uint64_t kDictionaries = 0x22'3000;
constexpr std::uint64_t kArguments = 0x22'4000;
constexpr std::uint64_t kGet = 0x22'5018;  // MethodDescs, behind their chunks
constexpr std::uint64_t kRun = 0x22'6018;
constexpr std::uint64_t kInfo = 0x23'0000;  // ReadyToRunInfo
constexpr std::uint64_t kFunctions = 0x24'0000;
constexpr std::uint64_t kBuckets = 0x25'0000;
constexpr std::uint64_t kBucketCount = 5;
constexpr std::uint64_t kCoreFile = 0x30'0000;
constexpr std::uint64_t kMineFile = 0x40'0000;
constexpr std::uint32_t kGetNumber = (1u << 14) + 3;  // more than one chunk's part tells
constexpr std::uint32_t kGeneric = 0x10;
constexpr std::uint32_t kShared = 0x20;
constexpr std::uint32_t kHasModule = 0x10;

MethodTable TableOf(std::uint32_t flags, std::uint64_t module) {
  MethodTable table{};
  table.flags = flags;
  table.flags2 = 2u << 16;  // the second type of its module
  table.module = module;
  return table;
}

// By the sources of 6.0 and 7.0.
struct Offsets {
  std::uint32_t remainder_bits;
  std::uint32_t simple_name;
  std::uint32_t header;
  std::uint32_t composite;
  std::uint32_t functions;
  std::uint32_t function_count;
  std::uint32_t buckets;
};
constexpr Offsets k6 = {.remainder_bits = 14,
                        .simple_name = 8,
                        .header = 8,
                        .composite = 32,
                        .functions = 64,
                        .function_count = 72,
                        .buckets = 416};
constexpr Offsets k7 = {.remainder_bits = 13,
                        .simple_name = 0x100,
                        .header = 16,
                        .composite = 40,
                        .functions = 80,
                        .function_count = 88,
                        .buckets = 432};

struct Fixture {
  Offsets offsets;
  Layout layout;
  testing::FakeProcess process;
  FakeMemory& memory = process.fake_memory;
  FunctionTable functions;

  explicit Fixture(unsigned major) : offsets(major == 6 ? k6 : k7), layout(*LayoutOf(major)) {
    PutModule(kCore, kCoreFile, "Core", "Box`1", "Get", kGetNumber);
    PutModule(kMine, kMineFile, "Mine", "Item", "Run", 1);
    PutMethodDesc(kGet, kGetNumber, kBoxOfItem);
    PutMethodDesc(kRun, 1, kItem);
    memory.Put(kItem, TableOf(0, kMine));
    // Box<Item> came about in Mine; its canonical instance, Box<__Canon>, in Core.
    MethodTable instance = TableOf(kGeneric, kMine);
    instance.canonical = kBoxOfCanon + (major == 6 ? 2u : 1u);
    instance.per_instance = kDictionaries;
    memory.Put(kBoxOfItem, instance);
    memory.Put(kBoxOfCanon, TableOf(kShared, kCore));
    memory.Put(kDictionaries - 4, std::uint16_t{1});
    memory.Put(kDictionaries - 2, std::uint16_t{1});
    memory.Put(kDictionaries, kArguments);
    memory.Put(kArguments, kItem);
    memory.Put(kRanges, kFirst);
    PutSection(kFirst, kImage, kSecond, 4, kCore);
    PutSection(kSecond, kCode, 0, RangeSection::kCodeHeap, kHeap);
    PutJitted();
    PutPrecompiled();
  }

  void PutModule(std::uint64_t place, std::uint64_t file, std::string_view assembly,
                 std::string_view type, std::string_view method, std::uint32_t number) {
    MetadataImage image;
    image.Set(0x00, 1, 1, image.Text("module"));
    image.Set(0x20, 1, 7, image.Text(assembly));
    image.Set(0x02, 1, 1, image.Text("<Module>"));
    image.Set(0x02, 1, 5, 1);
    image.Set(0x02, 2, 1, image.Text(type));
    image.Set(0x02, 2, 2, image.Text(assembly));
    image.Set(0x02, 2, 5, 1);
    image.Set(0x06, number, 3, image.Text(method));
    const std::vector<std::byte> bytes = image.Bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    process.MapFile(file, std::make_shared<const std::vector<std::byte>>(bytes));
    memory.Put(place + offsets.simple_name, file + text.find(assembly));
  }
  void PutMethodDesc(std::uint64_t place, std::uint32_t number, std::uint64_t table) {
    const std::uint32_t bits = offsets.remainder_bits;
    MethodDescChunk chunk{};
    chunk.method_table = table;
    chunk.token_range = static_cast<std::uint16_t>(number >> bits);
    memory.Put(place - kMethodDescChunkSize, chunk);
    MethodDescHead head{};
    head.token = static_cast<std::uint16_t>(number & ((1u << bits) - 1));
    memory.Put(place, head);
  }
  void PutSection(std::uint64_t place, std::uint64_t begin, std::uint64_t next, std::uint32_t flags,
                  std::uint64_t heap_list_or_module) {
    memory.Put(place, ListedSection{.begin = begin,
                                    .end = begin + kSize,
                                    .jit_manager = 0,
                                    .next = next,
                                    .last_used = kFirst,
                                    .flags = flags,
                                    .unused = 0,
                                    .heap_list_or_module = heap_list_or_module});
    memory.Put(begin + kUnwind, std::uint32_t{1});  // no codes
  }
  // Box<Item>.Get, 0x40 bytes from the code's begin on.
  void PutJitted() {
    memory.Put(kHeap, HeapList{.next = 0,
                               .unused = 0,
                               .start = kCode,
                               .end = kCode + 0x100,
                               .map_base = kCode,
                               .nibble_map = kNibbles});
    memory.Put(kNibbles, std::uint32_t{1} << 20);
    memory.Put(kCode + 0x40 - 8, kHeader);
    memory.Put(
        kHeader,
        CodeHeader{
            .debug_info = 0, .eh_info = 0, .gc_info = 0, .method_desc = kGet, .function_count = 1});
    memory.Put(kHeader + kCodeHeaderFunctions,
               RuntimeFunction{.begin = 0x40, .end = 0x100, .unwind_info = kUnwind});
  }
  // Item.Run, at 0x1000 in the image. The module points to other things as well.
  void PutPrecompiled() {
    constexpr std::uint64_t kNoImage = 0x26'0000;
    memory.Put(kNoImage, kCore);
    memory.Put(kNoImage + offsets.header, kNoImage);
    memory.Put(kCore + 0x200, kNoImage);
    constexpr std::uint64_t kNotOurs = 0x27'0000;
    memory.Put(kNotOurs, kMine);
    memory.Put(kNotOurs + offsets.header, kImage + 0x100);
    memory.Put(kCore + 0x208, kNotOurs);
    memory.Put(kCore + 0x4a0, kInfo);
    memory.Put(kInfo, kCore);
    memory.Put(kInfo + offsets.header, kImage + 0x100);
    memory.PutText(kImage + 0x100, std::string_view("RTR\0", 4));
    memory.Put(kInfo + offsets.composite, kInfo);
    memory.Put(kInfo + offsets.functions, kFunctions);
    memory.Put(kInfo + offsets.function_count, std::uint32_t{1});
    memory.Put(kInfo + offsets.buckets, kBuckets);
    memory.Put(kFunctions, RuntimeFunction{.begin = 0x1000, .end = 0x1080, .unwind_info = kUnwind});
    for (std::uint64_t i = 0; i <= kBucketCount; ++i) memory.Put(kBuckets + i * 64, HashBucket{});
    memory.Put(kBuckets, kBucketCount);
    PutEntry(kImage + 0x1000, kRun);
  }
  void PutEntry(std::uint64_t key, std::uint64_t method) {
    const auto hash = static_cast<std::uint32_t>(key >> 2);
    const std::uint64_t bucket = kBuckets + (hash % kBucketCount + 1) * 64;
    memory.Put(bucket + 8, key);
    memory.Put(bucket + 40, method >> 1);
  }

  CodeMap Map() { return {memory, layout, RemoteAddress(kRanges)}; }
  std::string NameOf(std::uint64_t method) {
    MethodNames names(process, layout, functions, /*raw=*/true);
    const auto named = names.NameOf(method, false);
    return named ? named->function->name + " in " + named->function->file : named.error().Message();
  }
  Result<ManagedFrames::Check> Check(const Layout& with) {
    ManagedFrames frames(process, with, RemoteAddress(kRanges), functions, /*raw_names=*/true);
    return frames.CheckLayout();
  }
};

}  // namespace

TEST_CASE("dotnet 6 and 7: where the DAC table says that the code is") {
  const RuntimeLocation runtime{.base = RemoteAddress(0x7f00'0000'0000),
                                .dac_table = RemoteAddress(0x5000),
                                .descriptor = {},
                                .version = "6.0"};
  FakeMemory memory;
  memory.Put(0x5000, std::uint64_t{0x7fff'1234'5678});
  CHECK(*CodeRangesOf(memory, runtime, *LayoutOf(6)) == RemoteAddress(0x7f00'1234'5678));
  CHECK(*CodeRangesOf(memory, runtime, *LayoutOf(7)) == RemoteAddress(0x7fff'1234'5678));
  memory.Put(0x5000, std::uint64_t{0});
  CHECK(CodeRangesOf(memory, runtime, *LayoutOf(6))->IsNull());
  CHECK(CodeRangesOf(memory, runtime, *LayoutOf(7))->IsNull());
}

TEST_CASE("dotnet 6 and 7: a list of code ranges") {
  Fixture f(GENERATE(6u, 7u));
  CodeMap map = f.Map();
  const CodeMap::Found jitted = map.Find(kCode + 0x50);
  REQUIRE(jitted.kind == CodeMap::Kind::kMethod);
  CHECK(jitted.code->method_desc == kGet);
  CHECK(map.Find(kCode - 1).kind == CodeMap::Kind::kNone);
  CHECK(map.Find(kCode + kSize).kind == CodeMap::Kind::kNone);
  SECTION("that grows") {
    f.PutSection(0x10'3000, kCode + kSize, kFirst, RangeSection::kCodeHeap, kHeap);
    f.memory.Put(kRanges, std::uint64_t{0x10'3000});
    CHECK(map.Find(kCode + kSize).kind == CodeMap::Kind::kUnknown);
  }
  SECTION("that leads back to itself") {
    f.PutSection(kSecond, kCode, kFirst, RangeSection::kCodeHeap, kHeap);
    f.memory.reads = 0;
    CHECK(map.Find(kCode - 1).kind == CodeMap::Kind::kUnknown);
    CHECK(f.memory.reads < 2000);
  }
  SECTION("that is empty") {
    f.memory.Put(kRanges, std::uint64_t{0});
    CHECK(f.Map().Find(kCode + 0x50).kind == CodeMap::Kind::kNone);
  }
}

TEST_CASE("dotnet 6 and 7: an image is found by what points back to its module") {
  Fixture f(GENERATE(6u, 7u));
  CodeMap map = f.Map();
  const CodeMap::Found found = map.Find(kImage + 0x1010);
  REQUIRE(found.kind == CodeMap::Kind::kMethod);
  CHECK(found.code->method_desc == kRun);
  CHECK(map.Find(kImage + 0x10).kind == CodeMap::Kind::kStub);
  f.memory.PutText(kImage + 0x100, "MZ");
  CHECK(f.Map().Find(kImage + 0x1010).kind == CodeMap::Kind::kUnknown);
}

TEST_CASE("dotnet 6 and 7: names of methods") {
  Fixture f(GENERATE(6u, 7u));
  CHECK(f.NameOf(kRun) == "Mine.Item.Run in Mine");
  // By the canonical instance's module.
  CHECK(f.NameOf(kGet) == "Core.Box`1[Mine.Item].Get in Core");
  f.memory.Put(kArguments, std::uint64_t{0x22'7002});  // a pointer type: where to is not known
  f.memory.Put(0x22'7000, std::uint64_t{0x0f});
  CHECK(f.NameOf(kGet) == "Core.Box`1[?].Get in Core");
}

// MethodTable::GetModule and the offsets that it goes by (vm/methodtable.cpp).
TEST_CASE("dotnet 6 and 7: the module of a generic instance that came about in another one") {
  Fixture f(GENERATE(6u, 7u));
  const auto [before, offset] = GENERATE(
      std::pair(0x0u, 48u), std::pair(0x1u, 56u), std::pair(0x2u, 48u), std::pair(0x3u, 80u),
      std::pair(0x4u, 56u), std::pair(0x6u, 80u), std::pair(0x7u, 88u), std::pair(0xfu, 96u));
  // Box<Pair> is its own canonical instance.
  MethodTable table = TableOf(kGeneric, kMine);
  table.flags2 |= kHasModule | before;
  table.virtual_count = 9;  // in two arrays
  table.per_instance = kDictionaries;
  constexpr std::uint64_t kPlace = 0x28'0000;
  f.memory.Put(kPlace, table);
  f.memory.Put(kPlace + offset, kCore);
  MethodTable instance = TableOf(kGeneric, kMine);
  instance.canonical = kPlace + 2;
  instance.per_instance = kDictionaries;
  f.memory.Put(kBoxOfItem, instance);
  CHECK(f.NameOf(kGet) == "Core.Box`1[Mine.Item].Get in Core");
}

TEST_CASE("dotnet 6 and 7: a table that does not fit is refused") {
  const unsigned major = GENERATE(6u, 7u);
  Fixture f(major);
  const auto good = f.Check(f.layout);
  REQUIRE(good);
  CHECK(good->methods == 1);
  CHECK(good->readable == 1);
  const auto other = f.Check(*LayoutOf(13 - major));
  REQUIRE(other);
  CHECK(other->methods == 1);
  CHECK_FALSE(other->IsGood());
  const auto later = f.Check(*LayoutOf(8));
  CHECK((!later || later->methods == 0));
  SECTION("of images too") {
    Layout layout = f.layout;
    layout.ready_to_run.method_buckets += 8;
    const auto wrong = f.Check(layout);
    REQUIRE(wrong);
    CHECK_FALSE(wrong->IsGood());
  }
  SECTION("by what an image says of code that is not its own") {
    f.PutEntry(kCode + 0x40, kRun);
    f.PutEntry(kCode + 0x44, kRun);
    const auto wrong = f.Check(f.layout);
    REQUIRE(wrong);
    CHECK(wrong->readable < wrong->methods);
  }
  SECTION("that has no image is not") {
    f.PutSection(kSecond, kCode, 0, RangeSection::kCodeHeap, kHeap);
    f.memory.Put(kRanges, kSecond);
    CHECK(f.Check(f.layout)->IsGood());
  }
}
