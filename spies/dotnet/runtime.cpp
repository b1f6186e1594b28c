// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/runtime.h"

#include <charconv>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "spies/dotnet/contract_descriptor.h"

namespace agent::dotnet {
namespace {

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

unsigned BuildIn(std::string_view text) {
  const std::string version = VersionIn(text);
  if (version.empty()) return 0;
  text = text.substr(text.find(kVersionMark) + kVersionMark.size() + version.size());
  unsigned build = 0;
  if (text.starts_with('.')) std::from_chars(text.data() + 1, text.data() + text.size(), build);
  return build;
}

Result<RemoteAddress> CodeRangesOf(ProcessMemory& memory, const RuntimeLocation& runtime,
                                   const Layout& layout) {
  if (layout.code_ranges.place != 0) return RemoteAddress(layout.code_ranges.place);
  if (!layout.code_ranges.has_offset) {
    AGENT_TRY(const auto place, memory.ReadValue<std::uint64_t>(runtime.dac_table));
    return RemoteAddress(place);
  }
  AGENT_TRY(const auto offset, memory.ReadValue<std::uint32_t>(runtime.dac_table));
  return offset == 0 ? RemoteAddress() : runtime.base.Plus(offset);
}

unsigned RuntimeLocation::Major() const {
  unsigned major = 0;
  std::from_chars(version.data(), version.data() + version.size(), major);
  return major;
}

void RuntimeLocator::Inspect(ElfFile file, FileFacts& facts) {
  const std::optional<ElfRange> dac_table = file.FindSymbol("g_dacTable");
  if (!dac_table) return;
  facts.dac_table = dac_table->address;
  if (const auto descriptor = file.FindSymbol(ContractDescriptor::kSymbol)) {
    facts.descriptor = descriptor->address;
  }
  for (const char* name : {".data", ".rodata"}) {
    const std::optional<ElfSection> section = file.ReadSection(name);
    if (!section) continue;
    facts.version = VersionIn(TextOf(section->bytes));
    facts.build = BuildIn(TextOf(section->bytes));
    if (!facts.version.empty()) break;
  }
  facts.file = std::move(file);
}

Result<std::optional<RuntimeLocation>> RuntimeLocator::Locate(TargetProcess& process) {
  AGENT_TRY(const std::vector<Mapping> mappings, process.ReadMappings());
  for (const Mapping& mapping : mappings) {
    if (!mapping.executable || mapping.inode == 0) continue;
    const FileFacts& facts = files_.Of(process, mapping, Inspect);
    const std::optional<std::uint64_t> bias = BiasOf(facts.file, mapping);
    if (!bias) continue;
    RuntimeLocation location{
        .base = RemoteAddress(*bias),
        .dac_table = RemoteAddress(*bias + static_cast<std::uint64_t>(facts.dac_table)),
        .descriptor = {},
        .version = facts.version,
        .build = facts.build};
    if (facts.descriptor) {
      location.descriptor = RemoteAddress(*bias + static_cast<std::uint64_t>(*facts.descriptor));
    }
    return location;
  }
  return std::nullopt;
}

}  // namespace agent::dotnet
