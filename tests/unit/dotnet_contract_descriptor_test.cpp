// SPDX-License-Identifier: Apache-2.0
// The contract descriptors of 9.0.20 and 10.0.12, of both what this agent asks for, and one in the
// form that 11 is to have (vm/datadescriptor/datadescriptor.inc), with offsets that are no
// version's.
#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "agent/process/registers.h"
#include "spies/dotnet/contract_descriptor.h"
#include "tests/support/catch.h"

using namespace agent;
using dotnet::ContractDescriptor;
using dotnet::LayoutFrom;
using dotnet::LayoutOf;
using dotnet::Overlay;

namespace {

// clang-format off
constexpr const char* k9 =
    R"({"version":0,"baseline":"empty","types":{"Module":{"Base":288,"Path":272},"MethodTable)"
    R"(":{"MTFlags":0,"MTFlags2":8,"EEClassOrCanonMT":40,"Module":24,"ParentMethodTable":16,")"
    R"(PerInstInfo":48},"MethodDesc":{"ChunkIndex":2,"Slot":4,"Flags":6,"Flags3AndTokenRemain)"
    R"(der":0},"MethodDescChunk":{"!":24,"MethodTable":0,"Next":8,"Size":16,"Count":17,"Flags)"
    R"(AndTokenRange":18}},"globals":{"MethodDescTokenRemainderBitCount":["0xc","uint8"]},"co)"
    R"(ntracts":{"Loader":1}})";
constexpr const char* k10 =
    R"({"version":0,"baseline":"empty","types":{"Module":{"Base":224,"Path":200,"ReadyToRunIn)"
    R"(fo":704},"MethodTable":{"MTFlags":0,"MTFlags2":8,"EEClassOrCanonMT":40,"Module":24,"Pa)"
    R"(rentMethodTable":16,"PerInstInfo":48},"MethodDesc":{"!":16,"ChunkIndex":2,"Slot":4,"Fl)"
    R"(ags":6,"Flags3AndTokenRemainder":0,"EntryPointFlags":3,"CodeData":8},"MethodDescChunk")"
    R"(:{"!":24,"MethodTable":0,"Next":8,"Size":16,"Count":17,"FlagsAndTokenRange":18},"Ready)"
    R"(ToRunInfo":{"CompositeInfo":40,"NumRuntimeFunctions":88,"RuntimeFunctions":80,"EntryPo)"
    R"(intToMethodDescMap":360},"RuntimeFunction":{"!":12,"BeginAddress":0,"EndAddress":4,"Un)"
    R"(windData":8},"HashMap":{"Buckets":16},"Bucket":{"!":64,"Keys":0,"Values":32},"RangeSec)"
    R"(tionFragment":{"RangeBegin":8,"RangeEndOpen":16,"RangeSection":24,"Next":0},"RangeSect)"
    R"(ion":{"RangeBegin":0,"RangeEndOpen":8,"NextForDelete":64,"JitManager":24,"Flags":16,"H)"
    R"(eapList":40,"R2RModule":32},"RealCodeHeader":{"MethodDesc":24,"GCInfo":16,"NumUnwindIn)"
    R"(fos":32,"UnwindInfos":36},"CodeHeapListNode":{"Next":0,"StartAddress":16,"EndAddress":)"
    R"(24,"MapBase":32,"HeaderMap":40}},"globals":{"MethodDescTokenRemainderBitCount":["0xc",)"
    R"("uint8"],"ExecutionManagerCodeRangeMapAddress":[[20],"pointer"],"Architecture":["x64",)"
    R"("string"]},"contracts":{"ExecutionManager":2,"Loader":1}})";
constexpr const char* k11 =
    R"({"version":0,"baseline":"empty","types":{"Thread":{"Id":[16,"uint32"],"OSId":[304,"nui)"
    R"(nt"]},"Module":{"SimpleName":[216,"pointer"],"Path":[224,"pointer"],"FileName":[232,"po)"
    R"(inter"],"ReadyToRunInfo":[720,"pointer"]},"MethodTable":{"!":64,"MTFlags":[0,"uint32"],)"
    R"("MTFlags2":[8,"uint32"],"EEClassOrCanonMT":[40,"pointer"],"Module":[24,"pointer"],"Pare)"
    R"(ntMethodTable":[16,"pointer"],"PerInstInfo":[48,"pointer"]},"GenericsDictInfo":{"NumDict)"
    R"(s":[4,"uint16"],"NumTypeArgs":[6,"uint16"]},"TypeDesc":{"TypeAndFlags":[0,"uint32"]},"P)"
    R"(aramTypeDesc":{"TypeArg":[24,"pointer"]},"MethodDesc":{"!":24,"ChunkIndex":[2,"uint8"],")"
    R"(Slot":[4,"uint16"],"Flags":[6,"uint16"],"Flags3AndTokenRemainder":[0,"uint16"]},"MethodD)"
    R"(escChunk":{"!":24,"MethodTable":[0,"pointer"],"FlagsAndTokenRange":[18,"uint16"]},"Insta)"
    R"(ntiatedMethodDesc":{"!":48,"PerInstInfo":[32,"pointer"],"NumGenericArgs":[42,"uint16"]},)"
    R"("DynamicMethodDesc":{"!":56,"MethodName":[40,"pointer"]},"ReadyToRunInfo":{"ReadyToRunHe)"
    R"(ader":[24,"pointer"],"CompositeInfo":[48,"pointer"],"NumRuntimeFunctions":[104,"uint32"])"
    R"(,"RuntimeFunctions":[96,"pointer"],"EntryPointToMethodDescMap":[344,"HashMap"],"LoadedIm)"
    R"(ageBase":[400,"pointer"]},"RuntimeFunction":{"!":12,"BeginAddress":[0,"uint32"],"EndAddr)"
    R"(ess":[4,"uint32"],"UnwindData":[8,"uint32"]},"HashMap":{"Buckets":[24,"pointer"]},"Bucke)"
    R"(t":{"!":64,"Keys":[0,"pointer"],"Values":[32,"pointer"]},"RangeSectionMap":{"TopLevelDat)"
    R"(a":[0,"pointer"]},"RangeSectionFragment":{"RangeBegin":[8,"pointer"],"RangeEndOpen":[16,)"
    R"("pointer"],"RangeSection":[24,"pointer"],"Next":[0,"pointer"]},"RangeSection":{"RangeBeg)"
    R"(in":[0,"pointer"],"RangeEndOpen":[8,"pointer"],"JitManager":[24,"pointer"],"Flags":[16,")"
    R"(int32"],"HeapList":[40,"pointer"],"R2RModule":[32,"pointer"],"RangeList":[48,"pointer"]})"
    R"(,"RealCodeHeader":{"MethodDesc":[24,"pointer"],"DebugInfo":[0,"pointer"],"EHInfo":[8,"po)"
    R"(inter"],"GCInfo":[16,"pointer"],"NumUnwindInfos":[32,"uint32"],"UnwindInfos":[36,"Runtim)"
    R"(eFunction"]},"CodeHeapListNode":{"Next":[0,"pointer"],"StartAddress":[16,"pointer"],"End)"
    R"(Address":[24,"pointer"],"MapBase":[32,"pointer"],"HeaderMap":[40,"pointer"],"Heap":[8,"p)"
    R"(ointer"]}},"globals":{"OperatingSystem":["Unix","string"],"Architecture":["x64","string")"
    R"(],"GCThread":[[5],"pointer"],"MethodDescTokenRemainderBitCount":["0xb","uint8"],"HashMap)"
    R"(SlotsPerBucket":["0x4","uint32"],"HashMapValueMask":["0x7fffffffffffffff","uint64"],"Met)"
    R"(hodDescAlignment":["0x8","uint64"],"StubCodeBlockLast":["0xf","uint8"],"RecommendedReade)"
    R"(rVersion":["0x1","uint32"],"ExecutionManagerCodeRangeMapAddress":[[20],"pointer"]},"sub)"
    R"(-descriptors":{"GC":[[21],"pointer"]},"contracts":{"DebugInfo":"c2","ExecutionManager":")"
    R"(c2","Loader":"c1","RuntimeTypeSystem":"c1","StackWalk":"c1"}})";
// clang-format on

// What differs on arm64 of what they tell here.
constexpr std::pair<std::string_view, std::string_view> kOnArm64[] = {
    {R"("Path":272)", R"("Path":280)"},
    {R"({"!":12,"BeginAddress":0,"EndAddress":4,"UnwindData":8})",
     R"({"!":8,"BeginAddress":0,"UnwindData":4})"},
    {R"({"!":12,"BeginAddress":[0,"uint32"],"EndAddress":[4,"uint32"],"UnwindData":[8,"uint32"]})",
     R"({"!":8,"BeginAddress":[0,"uint32"],"UnwindData":[4,"uint32"]})"}};

ContractDescriptor Parsed(std::string text) {
  for (const auto& [x64, arm64] : kOnArm64) {
    if (kCallPushes || text.find(x64) == std::string::npos) continue;
    text.replace(text.find(x64), x64.size(), arm64);
  }
  const std::array<std::uint64_t, 21> pointers = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,     10,
                                                  11, 12, 13, 14, 15, 16, 17, 18, 19, 0x7000};
  auto descriptor = ContractDescriptor::Parse(text, pointers);
  REQUIRE(descriptor);
  return *std::move(descriptor);
}

std::string Replaced(std::string text, std::string_view what, std::string_view by) {
  const std::size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), by);
}

}  // namespace

TEST_CASE("ContractDescriptor: what the runtime says is what the tables have") {
  CHECK(*Overlay(*LayoutOf(9), Parsed(k9)) == *LayoutOf(9));
  dotnet::Layout ten = *LayoutOf(10);
  ten.code_ranges.place = 0x7000;
  CHECK(*Overlay(*LayoutOf(10), Parsed(k10)) == ten);
}

TEST_CASE("ContractDescriptor: a version that is not known is read by what it says alone") {
  const auto layout = LayoutFrom(Parsed(k11));
  REQUIRE(layout);
  CHECK(*layout ==
        dotnet::Layout{.code_ranges = {.is_list = false, .has_offset = false, .place = 0x7000},
                       .nibble_map_has_pointers = true,
                       .method_desc = {.size = 24, .remainder_bits = 11},
                       .method_table = {.has_type_id_in_flags2 = true, .has_loader_module = false},
                       .type_desc_argument = 24,
                       .module = {.simple_name = 216, .ready_to_run = 720},
                       .ready_to_run = {.composite = 48, .functions = 96, .method_buckets = 368},
                       .collector = {.suspending_thread = 5, .slot = 0, .os_id = 304},
                       // What nothing is told of is not taken for known.
                       .debug_info = {}});
}

TEST_CASE("ContractDescriptor: what is not told is not guessed") {
  const std::string name =
      GENERATE("SimpleName", "ReadyToRunInfo", "CompositeInfo", "RuntimeFunctions",
               "NumRuntimeFunctions", "EntryPointToMethodDescMap", "Buckets", "HeapList",
               "HeaderMap", "NumUnwindInfos", "UnwindInfos", "PerInstInfo", "NumDicts", "TypeArg",
               "MethodName", "NumGenericArgs", "FlagsAndTokenRange",
               "MethodDescTokenRemainderBitCount", "HashMapValueMask", "StubCodeBlockLast",
               "ExecutionManagerCodeRangeMapAddress", "ExecutionManager", "RuntimeTypeSystem");
  const auto layout = LayoutFrom(Parsed(Replaced(k11, fmt::format("\"{}\":", name), "\"Other\":")));
  REQUIRE_FALSE(layout);
  CHECK(layout.error().Message().find(name) != std::string::npos);
}

TEST_CASE("ContractDescriptor: what means something else is not taken for what it was") {
  const auto [was, is] =
      GENERATE(std::pair(R"("ExecutionManager":"c2")", R"("ExecutionManager":"c3")"),
               std::pair(R"("RuntimeTypeSystem":"c1")", R"("RuntimeTypeSystem":"c2")"),
               std::pair(R"("NumGenericArgs":[42)", R"("NumGenericArgs":[40)"),
               std::pair(R"("NumRuntimeFunctions":[104)", R"("NumRuntimeFunctions":[88)"),
               std::pair(R"("UnwindInfos":[36)", R"("UnwindInfos":[40)"),
               std::pair(R"(["0xb","uint8"])", R"(["0x18","uint8"])"));
  const auto layout = LayoutFrom(Parsed(Replaced(k11, was, is)));
  REQUIRE_FALSE(layout);
  CHECK(layout.error().Message().find("differ") != std::string::npos);
}

TEST_CASE("ContractDescriptor: it goes before the table") {
  const auto layout = Overlay(*LayoutOf(8), Parsed(k10));
  REQUIRE(layout);
  CHECK(layout->module == LayoutOf(10)->module);
  CHECK(layout->ready_to_run == LayoutOf(10)->ready_to_run);
  CHECK(layout->method_desc == LayoutOf(10)->method_desc);
  CHECK(layout->nibble_map_has_pointers);
}

TEST_CASE("ContractDescriptor: where the thread is told that has stopped the others") {
  const std::string text =
      Replaced(Replaced(k10, R"("Bucket":{)", R"("Thread":{"OSId":296},"Bucket":{)"),
               R"("globals":{)", R"("globals":{"GCThread":[[20],"pointer"],)");
  const auto layout = Overlay(*LayoutOf(10), Parsed(text));
  REQUIRE(layout);
  CHECK(layout->collector.suspending_thread == 0x7000);
  CHECK(layout->collector.os_id == 296);
}

TEST_CASE("ContractDescriptor: every way to write a number, and a global behind a pointer") {
  const ContractDescriptor descriptor =
      Parsed(R"({"types": {"T": {"!": 8, "A": [16, "pointer"], "B": "0x20"}},
      "globals": {"N": ["0xc", "uint8"], "M": 5, "P": [[20], "pointer"], "Q": [[21], "pointer"], "S": ["x64", "string"]},
      "contracts": {"Old": 2, "New": "c3"}})");
  CHECK(descriptor.Field("T", "!") == 8);
  CHECK(descriptor.Field("T", "A") == 16);
  CHECK(descriptor.Field("T", "B") == 0x20);
  CHECK_FALSE(descriptor.Field("T", "C"));
  CHECK(descriptor.Global("N") == 12);
  CHECK(descriptor.Global("M") == 5);
  CHECK(descriptor.Global("P") == 0x7000);
  CHECK_FALSE(descriptor.Global("Q"));
  CHECK_FALSE(descriptor.Global("S"));
  CHECK(descriptor.Contract("Old") == 2);
  CHECK(descriptor.Contract("New") == 3);
  CHECK(descriptor.Contract("None") == 0);
}

TEST_CASE(
    "ContractDescriptor: a structure that differs is named, and a version that tells too little") {
  const auto differs =
      Overlay(*LayoutOf(10), Parsed(Replaced(k10, R"("HeaderMap":40)", R"("HeaderMap":48)")));
  REQUIRE_FALSE(differs);
  CHECK(differs.error().Message().find("CodeHeapListNode.HeaderMap") != std::string::npos);
  CHECK_FALSE(Overlay(*LayoutOf(10), Parsed(Replaced(k10, R"("ExecutionManager":2)",
                                                     R"("ExecutionManager":"c3")"))));
  CHECK(Overlay(*LayoutOf(10),
                Parsed(Replaced(k10, R"("ExecutionManager":2)", R"("ExecutionManager":"c2")"))));
  CHECK_FALSE(LayoutFrom(Parsed(k9)));
  CHECK_FALSE(ContractDescriptor::Parse("[1", {}));
  CHECK_FALSE(ContractDescriptor::Parse("[]", {}));
}
