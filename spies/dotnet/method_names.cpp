// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/method_names.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "spies/dotnet/pdb_search.h"

namespace agent::dotnet {
namespace {

constexpr int kMaxTypeDepth = 8;
constexpr std::size_t kMaxArguments = 64;
constexpr std::size_t kMaxLevels = 32;
constexpr std::size_t kMaxNames = 1u << 18;
constexpr std::size_t kMaxModules = 1u << 14;
constexpr std::size_t kLongestDynamicName = 512;
constexpr std::size_t kSearchStep = 64u << 10;
constexpr std::uint64_t kMaxSearch = 64u << 20;
// Each costs a search.
constexpr std::size_t kMaxUnreadableModules = 64;
constexpr int kMaxCandidates = 16;
constexpr std::size_t kMaxMetadata = 64u << 20;
constexpr std::size_t kMaxAllMetadata = 512u << 20;
constexpr std::size_t kMaxAllPdbs = 64u << 20;
constexpr std::size_t kMaxWrongPdbs = 64;     // each costs the reading of it
constexpr std::size_t kMaxPoints = 1u << 20;  // of lines, 8 bytes each
// Of one method's name, and of one type's text.
constexpr int kMaxTypes = 128;
constexpr std::size_t kMaxTypeText = 2048;
constexpr std::string_view kSignature = "BSJB";

// MethodTable.flags (vm/methodtable.h)
constexpr std::uint32_t kHasComponentSize = 1u << 31;
constexpr std::uint32_t kGenericMask = 0x30;
constexpr std::uint32_t kCategoryMask = 0xf0000;
constexpr std::uint32_t kManyDimensions = 0x80000;
constexpr std::uint32_t kVector = 0xa0000;
constexpr std::uint16_t kNoTypeId = 0xffff;

// The same of .NET 6 and 7: the canonical one's tag, and which of the pointers there are that share
// the last two fields (the others follow the virtual methods).
constexpr std::uint64_t kCanonicalTag = 3;
constexpr std::uint64_t kIndirection = 3;
constexpr std::uint32_t kHasModule = 0x10;
constexpr std::uint32_t kBeforeModule = 0xf;
constexpr std::uint32_t kInterfaces = 2;   // always in the second field
constexpr std::uint32_t kFixedFields = 3;  // of kBeforeModule: those that have a field of their own
constexpr std::uint32_t kVirtualsPerPointer = 8;

// Type handles that are no MethodTable (vm/typedesc.h).
constexpr std::uint64_t kTypeDesc = 2;
constexpr std::uint8_t kPointer = 0x0f;
constexpr std::uint8_t kReference = 0x10;

// What the runtime puts between an asynchronous method, its caller and what resumes it.
bool IsAsyncPlumbing(const MethodParts& parts) {
  if (parts.name_space != "System.Runtime.CompilerServices") return false;
  const std::string_view outermost = parts.types.front();
  const std::string_view innermost = parts.types.back();
  if (outermost == "AsyncHelpers") return innermost.starts_with("ThunkTaskCore");
  if (outermost == "AsyncMethodBuilderCore") return parts.method == "Start";
  return outermost.starts_with("Async") && outermost.contains("MethodBuilder") &&
         (innermost.contains("StateMachineBox") || parts.method == "Start");
}

std::string TextOf(std::span<const std::byte> bytes) {
  const char* const text = reinterpret_cast<const char*>(bytes.data());
  return {text, ::strnlen(text, bytes.size())};
}

}  // namespace

Result<NamedMethod> MethodNames::NameOf(std::uint64_t method_desc, bool stays) {
  if (stays) {
    const auto known = names_.find(method_desc);
    if (known != names_.end()) return known->second;
  }
  stale_ = 0;
  Result<NamedMethod> method = Read(method_desc);
  if (!method && stale_ != 0) {
    Forget(stale_);
    method = Read(method_desc);
  }
  if (method && stays && names_.size() < kMaxNames) names_.emplace(method_desc, *method);
  return method;
}

Result<NamedMethod> MethodNames::Read(std::uint64_t method_desc) {
  ProcessMemory& memory = process_.memory();
  const RemoteAddress place(method_desc);
  AGENT_TRY(const auto head, memory.ReadValue<MethodDescHead>(place));
  const unsigned kind = head.flags & MethodDescHead::kClassMask;
  if (kind == MethodDescHead::kDynamic) return ReadDynamic(method_desc);
  const std::uint64_t chunk_place =
      method_desc - head.chunk_index * MethodDescHead::kUnit - kMethodDescChunkSize;
  AGENT_TRY(const auto chunk, memory.ReadValue<MethodDescChunk>(RemoteAddress(chunk_place)));
  AGENT_TRY(const auto table, memory.ReadValue<MethodTable>(RemoteAddress(chunk.method_table)));
  AGENT_TRY(const std::uint64_t module_place, ModuleOf(chunk.method_table, table));
  AGENT_TRY(const ModuleMetadata* const module, MetadataOf(module_place));
  const Metadata& metadata = module->metadata;
  types_left_ = kMaxTypes;
  const unsigned bits = layout_.method_desc.remainder_bits;
  const std::uint32_t range = chunk.token_range & ((1u << (24 - bits)) - 1);
  const std::uint32_t rid = range << bits | (head.token & ((1u << bits) - 1));
  const std::optional<std::string_view> name = metadata.MethodName(rid);
  if (!name) return Fail(Errc::kMalformed, "number of a method");
  AGENT_CHECK_OK(Confirm(*module, *name));
  MethodParts parts;
  parts.method = *name;
  std::uint32_t type = TypeRid(table);
  if (type == 0) type = metadata.TypeOfMethod(rid);
  parts.state_machine = metadata.StateMachineOf(type);
  AGENT_CHECK_OK(AddTypes(table, *module, type, parts, 0));
  if (parts.types.empty()) return Fail(Errc::kMalformed, "method of no type");
  if (!raw_ && IsAsyncPlumbing(parts)) return NamedMethod{};
  if (kind == MethodDescHead::kInstantiated) {
    const RemoteAddress instance = place.Plus(layout_.method_desc.size);
    AGENT_TRY(const auto arguments,
              memory.ReadValue<std::uint64_t>(instance.Plus(after_method_desc::kArguments)));
    AGENT_TRY(const auto count,
              memory.ReadValue<std::uint16_t>(instance.Plus(after_method_desc::kArgumentCount)));
    if (arguments != 0) {
      AGENT_TRY(parts.method_arguments, ReadTypes(RemoteAddress(arguments), count, 1));
    }
  }
  const std::string text = raw_ ? RawMethodName(parts) : SourceMethodName(parts);
  const MethodLines* const lines = LinesOf(*module, rid);
  if (lines == nullptr) return NamedMethod{functions_.Intern(text, module->assembly, 0)};
  return NamedMethod{functions_.Intern(text, lines->file, lines->points.front().line), lines};
}

const MethodLines* MethodNames::LinesOf(const ModuleMetadata& module, std::uint32_t rid) {
  if (!module.pdb || points_ >= kMaxPoints) return nullptr;
  const auto [place, is_new] = lines_.try_emplace({module.place, rid}, nullptr);
  if (!is_new) return place->second;
  std::optional<MethodLines> lines = module.pdb->LinesOf(rid);
  if (!lines) return nullptr;
  points_ += lines->points.size();
  place->second = &all_lines_.emplace_back(*std::move(lines));
  return place->second;
}

// What code made at run time, in no assembly: a DynamicMethod, or the runtime's own.
Result<NamedMethod> MethodNames::ReadDynamic(std::uint64_t method_desc) {
  ProcessMemory& memory = process_.memory();
  const RemoteAddress place =
      RemoteAddress(method_desc).Plus(layout_.method_desc.size + after_method_desc::kDynamicName);
  AGENT_TRY(const auto name, memory.ReadValue<std::uint64_t>(place));
  std::array<std::byte, kLongestDynamicName> text;  // NOLINT: read up to `size`
  AGENT_TRY(const std::size_t size, memory.ReadSome(RemoteAddress(name), text));
  const std::string method = TextOf(std::span(text).first(size));
  if (!raw_ && method.starts_with("IL_STUB_AsyncResume_")) return NamedMethod{};
  return NamedMethod{functions_.Intern("dynamicClass." + method, {}, 0)};
}

std::uint32_t MethodNames::TypeRid(const MethodTable& table) const {
  if (layout_.method_table.has_type_id_in_flags2) return table.flags2 >> 8;
  const auto id = static_cast<std::uint16_t>(table.flags2 >> 16);
  return id == kNoTypeId ? 0 : id;
}

Result<void> MethodNames::AddTypes(const MethodTable& table, const ModuleMetadata& module,
                                   std::uint32_t rid, MethodParts& parts, int depth) {
  while (rid != 0 && parts.types.size() < kMaxLevels) {
    const std::optional<Metadata::Type> type = module.metadata.TypeAt(rid);
    if (!type) return Fail(Errc::kMalformed, "number of a type");
    AGENT_CHECK_OK(Confirm(module, type->name));
    AGENT_CHECK_OK(Confirm(module, type->name_space));
    parts.types.emplace_back(type->name);
    parts.name_space = type->name_space;
    rid = type->enclosing;
  }
  std::ranges::reverse(parts.types);
  AGENT_TRY(parts.type_arguments, TypeArguments(table, depth + 1));
  return {};
}

Result<std::vector<std::string>> MethodNames::TypeArguments(const MethodTable& table, int depth) {
  if ((table.flags & kHasComponentSize) != 0 || (table.flags & kGenericMask) == 0) {
    return std::vector<std::string>();
  }
  ProcessMemory& memory = process_.memory();
  // A dictionary for each generic type that it derives from, its own last; how many, and how many
  // arguments, stand before them.
  AGENT_TRY(
      const auto counts,
      (memory.ReadValue<std::array<std::uint16_t, 2>>(RemoteAddress(table.per_instance - 4))));
  if (counts[0] == 0 || counts[0] > kMaxLevels) {
    return Fail(Errc::kMalformed, "number of dictionaries");
  }
  AGENT_TRY(const auto dictionary,
            memory.ReadValue<std::uint64_t>(
                RemoteAddress(table.per_instance).Plus(std::uint64_t{8} * (counts[0] - 1u))));
  return ReadTypes(RemoteAddress(dictionary), counts[1], depth);
}

Result<std::vector<std::string>> MethodNames::ReadTypes(RemoteAddress place, std::size_t count,
                                                        int depth) {
  if (count > kMaxArguments) return Fail(Errc::kMalformed, "number of type arguments");
  std::vector<std::uint64_t> handles(count);
  AGENT_CHECK_OK(process_.memory().Read(place, std::as_writable_bytes(std::span(handles))));
  std::vector<std::string> names;
  for (const std::uint64_t handle : handles) {
    AGENT_TRY(std::string name, TypeName(handle, depth));
    names.push_back(std::move(name));
  }
  return names;
}

Result<std::string> MethodNames::TypeName(std::uint64_t handle, int depth) {
  if (depth > kMaxTypeDepth || --types_left_ < 0) return std::string("...");
  ProcessMemory& memory = process_.memory();
  if ((handle & kTypeDesc) != 0) {
    const RemoteAddress place(handle & ~kTypeDesc);
    AGENT_TRY(const auto kind, memory.ReadValue<std::uint8_t>(place));
    if (layout_.type_desc_argument == 0 || (kind != kPointer && kind != kReference)) {
      return std::string("?");
    }
    AGENT_TRY(const auto argument,
              memory.ReadValue<std::uint64_t>(place.Plus(layout_.type_desc_argument)));
    AGENT_TRY(const std::string name, TypeName(argument, depth + 1));
    return name + (kind == kPointer ? '*' : '&');
  }
  AGENT_TRY(const auto table, memory.ReadValue<MethodTable>(RemoteAddress(handle)));
  const std::uint32_t category = table.flags & kCategoryMask;
  if ((table.flags & kHasComponentSize) != 0 &&
      (category == kManyDimensions || category == kVector)) {
    AGENT_TRY(const std::string element, TypeName(table.per_instance, depth + 1));
    return element + (category == kVector ? "[]" : "[,]");
  }
  return NamedType(handle, table, depth);
}

Result<std::string> MethodNames::NamedType(std::uint64_t place, const MethodTable& table,
                                           int depth) {
  AGENT_TRY(const std::uint64_t module_place, ModuleOf(place, table));
  AGENT_TRY(const ModuleMetadata* const module, MetadataOf(module_place));
  MethodParts parts;
  AGENT_CHECK_OK(AddTypes(table, *module, TypeRid(table), parts, depth));
  if (parts.types.empty()) return std::string("?");
  std::string text = raw_ ? RawTypeName(parts.name_space, parts.types, parts.type_arguments)
                          : SourceTypeName(parts.types, parts.type_arguments);
  return text.size() <= kMaxTypeText ? text : std::string("...");
}

// The module that defines the type. In .NET 6 and 7 a generic instance has the one whose code
// brought it about; the defining one is in its canonical instance, if it is another.
Result<std::uint64_t> MethodNames::ModuleOf(std::uint64_t place, const MethodTable& table) {
  const bool may_differ = (table.flags & (kHasComponentSize | kGenericMask)) != 0;
  if (!layout_.method_table.has_loader_module || !may_differ) return table.module;
  ProcessMemory& memory = process_.memory();
  MethodTable canonical = table;
  if (const std::uint64_t tag = table.canonical & kCanonicalTag; tag != 0) {
    if (tag == kIndirection) return Fail(Errc::kMalformed, "canonical type");
    place = table.canonical - tag;
    AGENT_TRY(canonical, memory.ReadValue<MethodTable>(RemoteAddress(place)));
  }
  if ((canonical.flags2 & kHasModule) == 0) return canonical.module;
  const std::uint32_t before = canonical.flags2 & kBeforeModule;
  auto index = static_cast<std::uint64_t>(std::popcount(before));
  // What comes first takes the first field, unless that is the second's own.
  if (index == 1 && (before & kFixedFields) == kInterfaces) index = 0;
  if (index >= 2) {
    index += (canonical.virtual_count + kVirtualsPerPointer - 1) / kVirtualsPerPointer;
  }
  return memory.ReadValue<std::uint64_t>(
      RemoteAddress(place).Plus(offsetof(MethodTable, per_instance) + index * 8));
}

Result<const MethodNames::ModuleMetadata*> MethodNames::MetadataOf(std::uint64_t module) {
  AGENT_TRY(const auto name, process_.memory().ReadValue<std::uint64_t>(
                                 RemoteAddress(module).Plus(layout_.module.simple_name)));
  if (const auto known = modules_.find(name); known != modules_.end()) {
    if (known->second == nullptr) return Fail(Errc::kUnsupported, "module without metadata");
    return known->second.get();
  }
  if (modules_.size() >= kMaxModules || unreadable_modules_ >= kMaxUnreadableModules ||
      metadata_bytes_ >= kMaxAllMetadata) {
    return Fail(Errc::kLimit, "number of modules");
  }
  Result<ModuleMetadata> found = FindMetadata(name);
  if (!found) {  // the mappings may be others by now
    mappings_.clear();
    found = FindMetadata(name);
  }
  if (!found) {
    if (found.error().code != Errc::kUnsupported) ++unreadable_modules_;
    modules_.emplace(name, nullptr);
    return std::unexpected(std::move(found).error());
  }
  metadata_bytes_ += found->metadata.size();
  auto kept = std::make_unique<const ModuleMetadata>(*std::move(found));
  return modules_.emplace(name, std::move(kept)).first->second.get();
}

void MethodNames::AddPdb(const Mapping& mapping, ModuleMetadata& module) {
  if (pdb_bytes_ >= kMaxAllPdbs || wrong_pdbs_ >= kMaxWrongPdbs) return;
  Result<PortablePdb> pdb = FindPdb(process_, mapping, module.place);
  if (pdb) {
    pdb_bytes_ += pdb->size();
    module.pdb = *std::move(pdb);
  } else if (pdb.error().code == Errc::kMalformed) {
    ++wrong_pdbs_;
  }
}

void MethodNames::Forget(std::uint64_t name) {
  const auto place = modules_.find(name);
  if (place == modules_.end()) return;
  if (place->second != nullptr) {
    metadata_bytes_ -= place->second->metadata.size();
    if (place->second->pdb) pdb_bytes_ -= place->second->pdb->size();
    const RemoteAddress module = place->second->place;
    std::erase_if(lines_, [&](const auto& entry) { return entry.first.first == module; });
  }
  modules_.erase(place);
}

// Whether the process has a text still where it was when it was copied.
Result<void> MethodNames::Confirm(const ModuleMetadata& module, std::string_view text) {
  if (text.empty()) return {};
  std::string now(text.size() + 1, '\1');
  const RemoteAddress place = module.place.Plus(module.metadata.OffsetOf(text));
  AGENT_CHECK_OK(process_.memory().Read(place, std::as_writable_bytes(std::span(now))));
  if (now.back() != 0 || !now.starts_with(text)) {
    stale_ = module.name;  // another module lies where this one was unloaded
    return Fail(Errc::kMalformed, "other metadata lies there by now");
  }
  return {};
}

// By the module's name, which lies in the metadata's strings: the metadata begins before it, in the
// same mapping, wherever that comes from (a file, a slice of a bundle, memory).
Result<MethodNames::ModuleMetadata> MethodNames::FindMetadata(std::uint64_t name) {
  ProcessMemory& memory = process_.memory();
  const auto holds = [&](const Mapping& one) {
    return one.readable && one.Contains(RemoteAddress(name));
  };
  auto mapping = std::ranges::find_if(mappings_, holds);
  if (mapping == mappings_.end()) {
    AGENT_TRY(mappings_, process_.ReadMappings());
    mapping = std::ranges::find_if(mappings_, holds);
  }
  if (mapping == mappings_.end()) return Fail(Errc::kMalformed, "name of a module");
  // Of what was loaded from memory as well: it is shared memory of the runtime's.
  if (mapping->inode == 0) return Fail(Errc::kUnsupported, "module that was made at run time");
  std::vector<std::byte> bytes(kSearchStep + kSignature.size());
  std::uint64_t end = name;
  int candidates = 0;
  const std::uint64_t lowest = std::max(mapping->start.value(), name - std::min(name, kMaxSearch));
  while (end > lowest) {
    const std::uint64_t begin = end - std::min<std::uint64_t>(end - lowest, kSearchStep);
    // The signature may lie across two steps.
    const auto size = static_cast<std::size_t>(
        std::min<std::uint64_t>(end - begin + kSignature.size() - 1, name - begin));
    AGENT_CHECK_OK(memory.Read(RemoteAddress(begin), std::span(bytes).first(size)));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), size);
    for (std::size_t at = text.rfind(kSignature); at != std::string_view::npos;
         at = at == 0 ? std::string_view::npos : text.rfind(kSignature, at - 1)) {
      if (++candidates > kMaxCandidates) return Fail(Errc::kMalformed, "no metadata");
      const RemoteAddress place(begin + at);
      std::vector<std::byte> head(
          std::min<std::uint64_t>(Metadata::kHeadBytes, mapping->end.value() - place.value()));
      AGENT_TRY(const std::size_t got, memory.ReadSome(place, head));
      const Result<std::size_t> whole = Metadata::SizeOf(std::span(head).first(got));
      if (!whole || *whole <= name - place.value() || *whole > kMaxMetadata) continue;
      std::vector<std::byte> copy(*whole);
      if (!memory.Read(place, copy)) continue;
      Result<Metadata> metadata = Metadata::Parse(std::move(copy));
      if (!metadata) continue;
      std::string assembly(metadata->assembly_name());
      ModuleMetadata module{.name = name,
                            .place = place,
                            .metadata = *std::move(metadata),
                            .assembly = std::move(assembly),
                            .pdb = {}};
      AddPdb(*mapping, module);
      return module;
    }
    end = begin;
  }
  return Fail(Errc::kMalformed, "no metadata before the module's name");
}

}  // namespace agent::dotnet
