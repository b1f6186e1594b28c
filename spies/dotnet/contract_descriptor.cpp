// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/contract_descriptor.h"

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
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
    {"ReadyToRunInfo", "CompositeInfo", ready_to_run::kComposite},
    {"ReadyToRunInfo", "RuntimeFunctions", ready_to_run::kFunctions},
    {"ReadyToRunInfo", "NumRuntimeFunctions", ready_to_run::kFunctionCount},
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
};
constexpr std::uint64_t kPathAfterSimpleName = 8;  // members of Module, in 8 to 10

std::uint32_t Narrow(std::uint64_t offset) { return static_cast<std::uint32_t>(offset); }

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
  for (const Constant& constant : kConstants) {
    const auto offset = descriptor.Field(constant.type, constant.field);
    if (offset && *offset != constant.value) {
      return Fail(Errc::kMalformed, "its structures differ",
                  fmt::format("{}.{} is at {}", constant.type, constant.field, *offset));
    }
  }
  Layout layout = known;
  if (const auto version = descriptor.Contract("ExecutionManager"); version != 0) {
    if (version > 2) return Fail(Errc::kMalformed, "its structures differ", "ExecutionManager");
    layout.nibble_map_has_pointers = version == 2;
  }
  if (const auto size = descriptor.Field("MethodDesc", "!"))
    layout.method_desc.size = Narrow(*size);
  if (const auto bits = descriptor.Global("MethodDescTokenRemainderBitCount"); bits && *bits < 24) {
    layout.method_desc.remainder_bits = Narrow(*bits);
  }
  if (const auto path = descriptor.Field("Module", "Path"); path && *path >= kPathAfterSimpleName) {
    layout.module.simple_name = Narrow(*path - kPathAfterSimpleName);
  }
  if (const auto info = descriptor.Field("Module", "ReadyToRunInfo")) {
    layout.module.ready_to_run = Narrow(*info);
  }
  const auto map = descriptor.Field("ReadyToRunInfo", "EntryPointToMethodDescMap");
  const auto buckets = descriptor.Field("HashMap", "Buckets");
  const auto suspending = descriptor.Global("GCThread");
  const auto os_id = descriptor.Field("Thread", "OSId");
  if (suspending && os_id) {
    layout.collector = {.suspending_thread = *suspending, .os_id = Narrow(*os_id)};
  }
  if (map && buckets) layout.ready_to_run.method_buckets = Narrow(*map + *buckets);
  return layout;
}

Result<Layout> LayoutFrom(const ContractDescriptor& descriptor) {
  constexpr std::pair<const char*, const char*> kNeeded[] = {
      {"Module", "Path"},
      {"Module", "ReadyToRunInfo"},
      {"ReadyToRunInfo", "EntryPointToMethodDescMap"},
      {"HashMap", "Buckets"},
      {"MethodDesc", "!"},
      {"RangeSection", "HeapList"},
      {"CodeHeapListNode", "HeaderMap"},
      {"RealCodeHeader", "MethodDesc"},
  };
  for (const auto& [type, field] : kNeeded) {
    if (!descriptor.Field(type, field)) {
      return Fail(Errc::kMalformed, "it does not tell enough of its structures",
                  fmt::format("{}.{}", type, field));
    }
  }
  if (descriptor.Contract("ExecutionManager") == 0) {
    return Fail(Errc::kMalformed, "it does not tell enough of its structures", "ExecutionManager");
  }
  Layout newest = *LayoutOf(kNewestMajor);
  newest.debug_info = {};  // its form is nothing that a runtime tells of
  return Overlay(newest, descriptor);
}

}  // namespace agent::dotnet
