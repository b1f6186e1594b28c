// SPDX-License-Identifier: Apache-2.0
#include "spies/python/runtime.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace agent::python {
namespace {

std::optional<ElfAddress> AddressOfSymbol(const ElfFile& file, std::string_view name) {
  const std::optional<ElfRange> range = file.FindSymbol(name);
  if (!range) return std::nullopt;
  return range->address;
}

bool IsWritable(const std::vector<Mapping>& mappings, RemoteAddress address) {
  return std::ranges::any_of(mappings, [address](const Mapping& mapping) {
    return mapping.writable && mapping.Contains(address);
  });
}

// By public functions and the version that brought them ("Added in version", Doc/c-api).
Version VersionBySymbols(const ElfFile& file) {
  constexpr std::array<std::pair<std::string_view, std::uint32_t>, 6> kNew = {{
      {"Py_NewRef", 0x030a0000},
      {"PyFrame_GetCode", 0x03090000},
      {"PyCode_NewWithPosOnlyArgs", 0x03080000},
      {"PyInterpreterState_GetID", 0x03070000},
      {"PyOS_FSPath", 0x03060000},
      {"PyString_FromString", 0x02070000},  // gone in 3.0; 2.7 was the last before
  }};
  for (const auto& [name, hex] : kNew) {
    if (file.FindSymbol(name)) return Version{hex};
  }
  return Version{};
}

}  // namespace

void RuntimeLocator::Inspect(ElfFile file, FileFacts& facts) {
  facts.runtime = AddressOfSymbol(file, "_PyRuntime");
  if (!facts.runtime) {  // stripped; the section is there since 3.10
    if (const auto section = file.FindSection(".PyRuntime")) facts.runtime = section->address;
  }
  if (const auto section = file.FindSection(".AsyncioDebug")) facts.asyncio = section->address;
  // Before 3.7 there was no runtime, but this.
  facts.has_runtime = facts.runtime || file.FindSymbol("_PyThreadState_Current");
  if (!facts.has_runtime) {
    if (facts.asyncio) facts.file = std::move(file);
    return;
  }
  facts.version = AddressOfSymbol(file, "Py_Version");
  facts.code_type = AddressOfSymbol(file, "PyCode_Type");
  facts.frame_type = AddressOfSymbol(file, "PyFrame_Type");
  if (!facts.version) facts.before_311 = VersionBySymbols(file);
  facts.variables = file.FindSection(".bss");
  facts.file = std::move(file);
}

Result<std::optional<RuntimeLocation>> RuntimeLocator::Locate(TargetProcess& process) {
  AGENT_TRY(const std::vector<Mapping> mappings, process.ReadMappings());
  for (const Mapping& mapping : mappings) {
    if (!mapping.executable || mapping.inode == 0) continue;
    const FileFacts& facts = files_.Of(process, mapping, Inspect);
    const std::optional<std::uint64_t> bias = BiasOf(facts.file, mapping);
    if (!bias || !facts.has_runtime) continue;
    const auto loaded = [&](std::optional<ElfAddress> address) {
      return address ? RemoteAddress(*bias + static_cast<std::uint64_t>(*address))
                     : RemoteAddress();
    };
    RuntimeLocation location{.runtime = loaded(facts.runtime),
                             .version = loaded(facts.version),
                             .code_type = loaded(facts.code_type),
                             .frame_type = loaded(facts.frame_type),
                             .before_311 = facts.before_311,
                             .variables = {},
                             .code = mapping};
    // Code may be mapped once more by itself (libffi's trampolines): variables lie elsewhere then.
    if (!location.runtime.IsNull() && !IsWritable(mappings, location.runtime)) continue;
    if (facts.variables) {
      location.variables = loaded(facts.variables->address);
      location.variables_size = facts.variables->size;
    }
    return location;
  }
  return std::nullopt;
}

Result<std::optional<RemoteAddress>> RuntimeLocator::LocateAsyncio(TargetProcess& process) {
  AGENT_TRY(const std::vector<Mapping> mappings, process.ReadMappings());
  for (const Mapping& mapping : mappings) {
    if (!mapping.executable || mapping.inode == 0) continue;
    const FileFacts& facts = files_.Of(process, mapping, Inspect);
    const std::optional<std::uint64_t> bias = BiasOf(facts.file, mapping);
    if (!bias || !facts.asyncio) continue;
    const RemoteAddress address(*bias + static_cast<std::uint64_t>(*facts.asyncio));
    if (IsWritable(mappings, address)) return address;
  }
  return std::nullopt;
}

std::shared_ptr<const InterpreterCode> RuntimeLocator::CodeOf(TargetProcess& process,
                                                              const RuntimeLocation& location) {
  FileFacts& facts = files_.Of(process, location.code, Inspect);
  if (facts.code == nullptr) {
    // What it reads would stay in memory with `facts.file`.
    Result<UniqueFd> fd = process.OpenMappedFile(location.code);
    const Result<ElfFile> file = fd ? ElfFile::Open(*std::move(fd)) : std::unexpected(fd.error());
    facts.code = file ? std::make_shared<const InterpreterCode>(*file)
                      : std::make_shared<const InterpreterCode>();
  }
  return facts.code;
}

}  // namespace agent::python
