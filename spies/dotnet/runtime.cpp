// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/runtime.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <string_view>
#include <vector>

#include "agent/base/log.h"

namespace agent::dotnet {
namespace {

// Bounds what a program that maps ever new files makes us keep.
constexpr std::size_t kMaxFiles = 4096;
constexpr std::string_view kVersionMark = "@(#)Version ";
constexpr std::size_t kLongestVersion = 64;

std::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string VersionIn(std::string_view text) {
  const std::size_t mark = text.find(kVersionMark);
  if (mark == std::string_view::npos) return {};
  text = text.substr(mark + kVersionMark.size(), kLongestVersion);
  const std::size_t first_dot = text.find('.');
  const std::size_t end = text.find_first_not_of("0123456789", first_dot + 1);
  if (first_dot == std::string_view::npos || end == std::string_view::npos || end > 8) return {};
  return std::string(text.substr(0, end));
}

const RuntimeLocator::FileFacts& RuntimeLocator::Inspect(TargetProcess& process,
                                                         const Mapping& mapping) {
  if (files_.size() > kMaxFiles) {
    std::erase_if(files_, [](const auto& entry) { return !entry.second.file; });
  }
  const std::pair key{mapping.device, mapping.inode};
  if (const auto known = files_.find(key); known != files_.end()) return known->second;
  Result<UniqueFd> fd = process.OpenMappedFile(mapping);
  if (!fd) {  // may succeed for the next process: not remembered
    static const FileFacts kNoFacts;
    LogDebug("dotnet: {} is passed over: {}", mapping.path, fd.error().Message());
    return kNoFacts;
  }
  FileFacts& facts = files_[key];
  Result<ElfFile> file = ElfFile::Open(*std::move(fd));
  if (!file) return facts;
  const std::optional<ElfRange> dac_table = file->FindSymbol("g_dacTable");
  if (!dac_table) return facts;
  facts.dac_table = dac_table->address;
  for (const char* name : {".data", ".rodata"}) {
    const std::optional<ElfSection> section = file->ReadSection(name);
    if (section) facts.version = VersionIn(TextOf(section->bytes));
    if (!facts.version.empty()) break;
  }
  std::from_chars(facts.version.data(), facts.version.data() + facts.version.size(), facts.major);
  facts.file = *std::move(file);
  return facts;
}

Result<std::optional<RuntimeLocation>> RuntimeLocator::Locate(TargetProcess& process) {
  AGENT_TRY(const std::vector<Mapping> mappings, process.ReadMappings());
  for (const Mapping& mapping : mappings) {
    if (!mapping.executable || mapping.inode == 0) continue;
    const FileFacts& facts = Inspect(process, mapping);
    if (!facts.file) continue;
    const std::optional<ElfAddress> mapped = facts.file->CodeAddressOf(mapping.offset);
    if (!mapped) continue;
    const std::uint64_t bias = mapping.start.value() - static_cast<std::uint64_t>(*mapped);
    return RuntimeLocation{
        .dac_table = RemoteAddress(bias + static_cast<std::uint64_t>(facts.dac_table)),
        .major = facts.major,
        .version = facts.version};
  }
  return std::nullopt;
}

}  // namespace agent::dotnet
