// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/elf_sections.h"

#include <gelf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace agent {
namespace {

constexpr std::size_t kMaxSections = 1u << 20;
constexpr std::size_t kMaxName = 256;

// What a section takes once it is decompressed: SHF_COMPRESSED, or the older GNU form ("ZLIB" and
// eight bytes of size, the highest first).
std::uint64_t ExpandedSize(Elf_Scn* section, const GElf_Shdr& header, std::string_view name) {
  GElf_Chdr compressed;
  if ((header.sh_flags & SHF_COMPRESSED) != 0) {
    return ::gelf_getchdr(section, &compressed) != nullptr ? compressed.ch_size : header.sh_size;
  }
  if (!name.starts_with(".zdebug_")) return header.sh_size;
  const Elf_Data* data = ::elf_rawdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr || data->d_size < 12) return header.sh_size;
  const auto* bytes = static_cast<const unsigned char*>(data->d_buf);
  if (std::memcmp(bytes, "ZLIB", 4) != 0) return header.sh_size;
  std::uint64_t size = 0;
  for (std::size_t i = 4; i < 12; ++i) size = size << 8 | bytes[i];
  return size;
}

}  // namespace

std::vector<SectionHeader> ReadSectionHeaders(const ElfFile& file) {
  std::vector<SectionHeader> headers;
  std::size_t names = 0;
  if (::elf_getshdrstrndx(file.handle(), &names) != 0) return headers;
  Elf_Scn* section = nullptr;
  while ((section = ::elf_nextscn(file.handle(), section)) != nullptr) {
    GElf_Shdr header;
    if (::gelf_getshdr(section, &header) == nullptr || headers.size() >= kMaxSections) continue;
    std::string name(ElfString(file.handle(), names, header.sh_name, kMaxName));
    const std::uint64_t expanded = ExpandedSize(section, header, name);
    headers.push_back({.index = ::elf_ndxscn(section),
                       .name = std::move(name),
                       .type = header.sh_type,
                       .flags = header.sh_flags,
                       .address = header.sh_addr,
                       .size = header.sh_size,
                       .link = header.sh_link,
                       .entry_size = header.sh_entsize,
                       .expanded_size = expanded});
  }
  return headers;
}

const SectionHeader* FindSectionHeader(const std::vector<SectionHeader>& headers,
                                       std::string_view name) {
  const auto found = std::ranges::find_if(headers, [name](const SectionHeader& header) {
    return header.name == name && header.type != SHT_NOBITS;
  });
  return found != headers.end() ? &*found : nullptr;
}

CodeRanges::CodeRanges(std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges)
    : ranges_(std::move(ranges)) {
  std::ranges::sort(ranges_);
}

CodeRanges::CodeRanges(const ElfFile& file) {
  const auto add = [this](std::uint64_t low, std::uint64_t size) {
    if (low + size > low) ranges_.emplace_back(low, low + size);
  };
  for (const SectionHeader& header : ReadSectionHeaders(file)) {
    if ((header.flags & SHF_EXECINSTR) != 0 && header.address != 0) {
      add(header.address, header.size);
    }
  }
  if (ranges_.empty()) {
    for (const ElfSegment& segment : file.load_segments()) {
      if (segment.executable) {
        add(static_cast<std::uint64_t>(segment.address), segment.memory_size);
      }
    }
  }
  std::ranges::sort(ranges_);
}

std::optional<std::uint64_t> CodeRanges::EndFrom(std::uint64_t address) const {
  auto next = std::ranges::upper_bound(ranges_, address, {},
                                       &std::pair<std::uint64_t, std::uint64_t>::first);
  if (next == ranges_.begin()) return std::nullopt;
  --next;
  if (address >= next->second) return std::nullopt;
  return next->second;
}

}  // namespace agent
