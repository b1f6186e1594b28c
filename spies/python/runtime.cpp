// SPDX-License-Identifier: Apache-2.0
#include "spies/python/runtime.h"

#include "agent/base/log.h"

namespace agent::python {
namespace {

// Bounds what a program that maps ever new files makes us keep.
constexpr std::size_t kMaxFiles = 4096;

std::optional<ElfAddress> AddressOfSymbol(const ElfFile& file, std::string_view name) {
  const std::optional<ElfRange> range = file.FindSymbol(name);
  if (!range) return std::nullopt;
  return range->address;
}

}  // namespace

const RuntimeLocator::FileFacts& RuntimeLocator::Inspect(TargetProcess& process,
                                                         const Mapping& mapping) {
  if (files_.size() > kMaxFiles) files_.clear();
  const std::pair key{mapping.device, mapping.inode};
  if (const auto known = files_.find(key); known != files_.end()) return known->second;
  Result<UniqueFd> fd = process.OpenMappedFile(mapping);
  if (!fd) {  // may succeed for the next process: not remembered
    static const FileFacts kNoFacts;
    LogDebug("python: {} is passed over: {}", mapping.path, fd.error().Message());
    return kNoFacts;
  }
  FileFacts& facts = files_[key];
  Result<ElfFile> file = ElfFile::Open(*std::move(fd));
  if (!file) return facts;
  facts.runtime = AddressOfSymbol(*file, "_PyRuntime");
  if (!facts.runtime) {  // stripped; the section is there since 3.10
    if (const auto section = file->FindSection(".PyRuntime")) facts.runtime = section->address;
  }
  if (!facts.runtime) return facts;
  facts.version = AddressOfSymbol(*file, "Py_Version");
  facts.code_type = AddressOfSymbol(*file, "PyCode_Type");
  facts.file = *std::move(file);
  return facts;
}

Result<std::optional<RuntimeLocation>> RuntimeLocator::Locate(TargetProcess& process) {
  AGENT_TRY(const std::vector<Mapping> mappings, process.ReadMappings());
  for (const Mapping& mapping : mappings) {
    if (!mapping.executable || mapping.inode == 0) continue;
    const FileFacts& facts = Inspect(process, mapping);
    if (!facts.runtime) continue;
    const std::optional<ElfAddress> mapped = facts.file->AddressOf(mapping.offset);
    if (!mapped) continue;
    const std::uint64_t bias = mapping.start.value() - static_cast<std::uint64_t>(*mapped);
    const auto loaded = [bias](std::optional<ElfAddress> address) {
      return address ? RemoteAddress(bias + static_cast<std::uint64_t>(*address)) : RemoteAddress();
    };
    return RuntimeLocation{loaded(facts.runtime), loaded(facts.version), loaded(facts.code_type)};
  }
  return std::nullopt;
}

}  // namespace agent::python
