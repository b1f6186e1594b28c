// SPDX-License-Identifier: Apache-2.0
// The contract descriptors of 9.0.20 and 10.0.12, of both what this agent asks for.
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
// clang-format on

// What differs on arm64 of what they tell here.
constexpr std::pair<std::string_view, std::string_view> kOnArm64[] = {
    {R"("Path":272)", R"("Path":280)"},
    {R"({"!":12,"BeginAddress":0,"EndAddress":4,"UnwindData":8})",
     R"({"!":8,"BeginAddress":0,"UnwindData":4})"}};

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
  CHECK(*Overlay(*LayoutOf(10), Parsed(k10)) == *LayoutOf(10));
  // What nothing is told of is not taken for known.
  dotnet::Layout ten = *LayoutOf(10);
  ten.debug_info = {};
  CHECK(*LayoutFrom(Parsed(k10)) == ten);
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
