// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/contract_descriptor.h"

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "spies/dotnet/unwind_info.h"

namespace agent::dotnet {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMagic = 0x0043414443434e44;  // "DNCCDAC"
constexpr std::uint32_t kMaxText = 1u << 20;
constexpr std::uint32_t kMaxPointers = 1u << 10;

struct Header {
  std::uint64_t magic;
  std::uint32_t flags;
  std::uint32_t text_size;
  std::uint64_t text;
  std::uint32_t pointer_count;
  std::uint32_t unused;
  std::uint64_t pointers;
};

// 24, "0x18", "24" or, of a contract, "c2".
std::optional<std::uint64_t> Number(const json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (!value.is_string()) return std::nullopt;
  std::string_view text = value.get_ref<const std::string&>();
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  } else if (text.starts_with("c")) {
    text.remove_prefix(1);
  }
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The number of `value` or of [value, "type"].
const json& Untyped(const json& value) {
  return value.is_array() && value.size() == 2 && value[1].is_string() ? value[0] : value;
}

std::optional<std::uint64_t> GlobalValue(const json& value,
                                         std::span<const std::uint64_t> pointers) {
  const json& untyped = Untyped(value);
  if (!untyped.is_array()) return Number(untyped);
  if (untyped.size() != 1) return std::nullopt;
  const auto index = Number(untyped[0]);
  if (!index || *index >= pointers.size()) return std::nullopt;
  return pointers[*index];
}

const json& Member(const json& document, const char* name) {
  static const json none = json::object();
  const auto found = document.find(name);
  return found != document.end() && found->is_object() ? *found : none;
}

constexpr const char* kGlobal = "globals";
constexpr const char* kContract = "contracts";

// What this agent's code has as constants (layout.h).
struct Constant {
  const char* type;
  const char* field;
  std::uint64_t value;
};
constexpr Constant kConstants[] = {
    {"RangeSectionFragment", "Next", offsetof(RangeFragment, next)},
    {"RangeSectionFragment", "RangeBegin", offsetof(RangeFragment, begin)},
    {"RangeSectionFragment", "RangeEndOpen", offsetof(RangeFragment, end)},
    {"RangeSectionFragment", "RangeSection", offsetof(RangeFragment, section)},
    {"RangeSection", "RangeBegin", offsetof(RangeSection, begin)},
    {"RangeSection", "RangeEndOpen", offsetof(RangeSection, end)},
    {"RangeSection", "Flags", offsetof(RangeSection, flags)},
    {"RangeSection", "JitManager", offsetof(RangeSection, jit_manager)},
    {"RangeSection", "R2RModule", offsetof(RangeSection, ready_to_run_module)},
    {"RangeSection", "HeapList", offsetof(RangeSection, heap_list)},
    {"CodeHeapListNode", "Next", offsetof(HeapList, next)},
    {"CodeHeapListNode", "StartAddress", offsetof(HeapList, start)},
    {"CodeHeapListNode", "EndAddress", offsetof(HeapList, end)},
    {"CodeHeapListNode", "MapBase", offsetof(HeapList, map_base)},
    {"CodeHeapListNode", "HeaderMap", offsetof(HeapList, nibble_map)},
    {"RealCodeHeader", "MethodDesc", offsetof(CodeHeader, method_desc)},
    {"RealCodeHeader", "NumUnwindInfos", offsetof(CodeHeader, function_count)},
    {"RealCodeHeader", "UnwindInfos", kCodeHeaderFunctions},
    {"RuntimeFunction", "!", sizeof(RuntimeFunction)},
    {"RuntimeFunction", "BeginAddress", offsetof(RuntimeFunction, begin)},
    {"RuntimeFunction", "UnwindData", offsetof(RuntimeFunction, unwind_info)},
    {"Bucket", "!", sizeof(HashBucket)},
    {"Bucket", "Keys", offsetof(HashBucket, keys)},
    {"Bucket", "Values", offsetof(HashBucket, values)},
    {"MethodDesc", "Flags3AndTokenRemainder", offsetof(MethodDescHead, token)},
    {"MethodDesc", "ChunkIndex", offsetof(MethodDescHead, chunk_index)},
    {"MethodDesc", "Flags", offsetof(MethodDescHead, flags)},
    {"MethodDescChunk", "!", kMethodDescChunkSize},
    {"MethodDescChunk", "MethodTable", offsetof(MethodDescChunk, method_table)},
    {"MethodDescChunk", "FlagsAndTokenRange", offsetof(MethodDescChunk, token_range)},
    {"MethodTable", "MTFlags", offsetof(MethodTable, flags)},
    {"MethodTable", "MTFlags2", offsetof(MethodTable, flags2)},
    {"MethodTable", "ParentMethodTable", offsetof(MethodTable, parent)},
    {"MethodTable", "Module", offsetof(MethodTable, module)},
    {"MethodTable", "EEClassOrCanonMT", offsetof(MethodTable, canonical)},
    {"MethodTable", "PerInstInfo", offsetof(MethodTable, per_instance)},
    // They end where the dictionaries begin.
    {"GenericsDictInfo", "NumDicts", 4},
    {"GenericsDictInfo", "NumTypeArgs", 6},
    {"TypeDesc", "TypeAndFlags", 0},
    {kGlobal, "StubCodeBlockLast", kLastStubKind},
    {kGlobal, "HashMapSlotsPerBucket", std::size(HashBucket{}.keys)},
    {kGlobal, "HashMapValueMask", HashBucket::kValueMask},
    {kGlobal, "MethodDescAlignment", MethodDescHead::kUnit},
};
// Behind a MethodDesc.
constexpr Constant kAfterMethodDesc[] = {
    {"InstantiatedMethodDesc", "PerInstInfo", after_method_desc::kArguments},
    {"InstantiatedMethodDesc", "NumGenericArgs", after_method_desc::kArgumentCount},
    {"DynamicMethodDesc", "MethodName", after_method_desc::kDynamicName},
};
constexpr std::uint64_t kNewestCodeManager = 2;
constexpr std::uint64_t kNewestTypeSystem = 1;
constexpr std::uint64_t kPathAfterSimpleName = 8;  // members of Module, in 9 and 10

std::uint32_t Narrow(std::uint64_t offset) { return static_cast<std::uint32_t>(offset); }

// A layout with what a runtime tells put in its place.
class Reading {
 public:
  Reading(const Layout& layout, const ContractDescriptor& descriptor)
      : layout_(layout), descriptor_(descriptor) {}

  Layout& layout() { return layout_; }

  // Nothing: not told.
  std::optional<std::uint64_t> Ask(const char* type, const char* name) {
    std::optional<std::uint64_t> value;
    if (type == kGlobal) {
      value = descriptor_.Global(name);
    } else if (type != kContract) {
      value = descriptor_.Field(type, name);
    } else if (const auto version = descriptor_.Contract(name); version != 0) {
      value = version;
    }
    if (!value && missing_.empty()) missing_ = fmt::format("{}.{}", type, name);
    return value;
  }
  void Take(std::uint32_t& to, const char* type, const char* name) {
    if (const auto value = Ask(type, name)) to = Narrow(*value);
  }
  void Expect(const Constant& constant, std::uint64_t more = 0) {
    const auto value = Ask(constant.type, constant.field);
    if (value && *value != constant.value + more) Differs(constant.type, constant.field, *value);
  }
  void Differs(const char* type, const char* name, std::uint64_t value) {
    if (different_.empty()) different_ = fmt::format("{}.{} is {}", type, name, value);
  }
  [[nodiscard]] Result<Layout> Checked(bool needs_all) const {
    if (!different_.empty()) return Fail(Errc::kMalformed, "its structures differ", different_);
    if (needs_all && !missing_.empty()) {
      return Fail(Errc::kMalformed, "it does not tell enough of its structures", missing_);
    }
    return layout_;
  }

 private:
  Layout layout_;
  const ContractDescriptor& descriptor_;
  std::string missing_;    // the first that is not told
  std::string different_;  // the first that is not what this agent takes it for
};

Reading ReadLayout(const Layout& known, const ContractDescriptor& descriptor) {
  Reading reading(known, descriptor);
  Layout& layout = reading.layout();
  for (const Constant& constant : kConstants) reading.Expect(constant);
  if (const auto version = reading.Ask(kContract, "ExecutionManager")) {
    if (*version > kNewestCodeManager) reading.Differs(kContract, "ExecutionManager", *version);
    layout.nibble_map_has_pointers = *version == kNewestCodeManager;
  }
  if (const auto version = reading.Ask(kContract, "RuntimeTypeSystem")) {
    if (*version > kNewestTypeSystem) reading.Differs(kContract, "RuntimeTypeSystem", *version);
  }
  if (const auto place = reading.Ask(kGlobal, "ExecutionManagerCodeRangeMapAddress")) {
    layout.code_ranges.place = *place;
  }
  reading.Take(layout.method_desc.size, "MethodDesc", "!");
  for (const Constant& constant : kAfterMethodDesc) {
    reading.Expect(constant, layout.method_desc.size);
  }
  constexpr const char* kBits = "MethodDescTokenRemainderBitCount";
  if (const auto bits = reading.Ask(kGlobal, kBits)) {
    if (*bits >= 24) reading.Differs(kGlobal, kBits, *bits);
    layout.method_desc.remainder_bits = Narrow(*bits);
  }
  reading.Take(layout.type_desc_argument, "ParamTypeDesc", "TypeArg");
  if (const auto path = descriptor.Field("Module", "Path"); path && *path >= kPathAfterSimpleName) {
    layout.module.simple_name = Narrow(*path - kPathAfterSimpleName);
  }
  reading.Take(layout.module.simple_name, "Module", "SimpleName");
  reading.Take(layout.module.ready_to_run, "Module", "ReadyToRunInfo");
  reading.Take(layout.ready_to_run.composite, "ReadyToRunInfo", "CompositeInfo");
  reading.Take(layout.ready_to_run.functions, "ReadyToRunInfo", "RuntimeFunctions");
  reading.Expect({"ReadyToRunInfo", "NumRuntimeFunctions", 8}, layout.ready_to_run.functions);
  const auto map = reading.Ask("ReadyToRunInfo", "EntryPointToMethodDescMap");
  const auto buckets = reading.Ask("HashMap", "Buckets");
  if (map && buckets) layout.ready_to_run.method_buckets = Narrow(*map + *buckets);
  // Without these there are no marks, and nothing else is wrong.
  const auto suspending = descriptor.Global("GCThread");
  const auto os_id = descriptor.Field("Thread", "OSId");
  if (suspending && os_id) {
    layout.collector = {.suspending_thread = *suspending, .slot = 0, .os_id = Narrow(*os_id)};
  }
  return reading;
}

}  // namespace

Result<ContractDescriptor> ContractDescriptor::Parse(std::string_view text,
                                                     std::span<const std::uint64_t> pointers) {
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return Fail(Errc::kMalformed, "the contract descriptor is no JSON");
  ContractDescriptor descriptor;
  for (const auto& [type, fields] : Member(document, "types").items()) {
    if (!fields.is_object()) continue;
    for (const auto& [field, value] : fields.items()) {
      const auto offset = Number(Untyped(value));
      // No structure is as large; so no sum of two can overflow.
      if (offset && *offset < kMaxText)
        descriptor.fields_[fmt::format("{}.{}", type, field)] = *offset;
    }
  }
  for (const auto& [name, value] : Member(document, "globals").items()) {
    if (const auto number = GlobalValue(value, pointers)) descriptor.globals_[name] = *number;
  }
  for (const auto& [name, value] : Member(document, "contracts").items()) {
    if (const auto version = Number(value)) descriptor.contracts_[name] = *version;
  }
  return descriptor;
}

Result<ContractDescriptor> ContractDescriptor::Read(ProcessMemory& memory, RemoteAddress place) {
  AGENT_TRY(const auto header, memory.ReadValue<Header>(place));
  if (header.magic != kMagic || header.text_size > kMaxText ||
      header.pointer_count > kMaxPointers) {
    return Fail(Errc::kMalformed, "no contract descriptor");
  }
  std::string text(header.text_size, '\0');
  AGENT_CHECK_OK(memory.Read(RemoteAddress(header.text), std::as_writable_bytes(std::span(text))));
  std::vector<std::uint64_t> pointers(header.pointer_count);
  AGENT_CHECK_OK(
      memory.Read(RemoteAddress(header.pointers), std::as_writable_bytes(std::span(pointers))));
  return Parse(text, pointers);
}

std::optional<std::uint64_t> ContractDescriptor::Field(std::string_view type,
                                                       std::string_view field) const {
  const auto found = fields_.find(fmt::format("{}.{}", type, field));
  return found == fields_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::uint64_t> ContractDescriptor::Global(std::string_view name) const {
  const auto found = globals_.find(name);
  return found == globals_.end() ? std::nullopt : std::optional(found->second);
}

std::uint64_t ContractDescriptor::Contract(std::string_view name) const {
  const auto found = contracts_.find(name);
  return found == contracts_.end() ? 0 : found->second;
}

Result<Layout> Overlay(const Layout& known, const ContractDescriptor& descriptor) {
  return ReadLayout(known, descriptor).Checked(/*needs_all=*/false);
}

Result<Layout> LayoutFrom(const ContractDescriptor& descriptor) {
  Layout newest = *LayoutOf(kNewestMajor);
  newest.debug_info = {};  // its form is nothing that a runtime tells of
  return ReadLayout(newest, descriptor).Checked(/*needs_all=*/true);
}

}  // namespace agent::dotnet
