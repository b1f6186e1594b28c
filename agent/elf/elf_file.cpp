// SPDX-License-Identifier: Apache-2.0
#include "agent/elf/elf_file.h"

#include <gelf.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr std::uint64_t kPageMask = 4095;

std::optional<ElfRange> FindSymbolIn(Elf* elf, Elf_Scn* section, const GElf_Shdr& header,
                                     std::string_view name) {
  if (header.sh_entsize == 0) return std::nullopt;
  Elf_Data* data = ::elf_getdata(section, nullptr);
  if (data == nullptr) return std::nullopt;
  const auto count = static_cast<int>(data->d_size / header.sh_entsize);
  for (int i = 0; i < count; ++i) {
    GElf_Sym symbol;
    if (::gelf_getsym(data, i, &symbol) == nullptr || symbol.st_shndx == SHN_UNDEF) continue;
    const char* found = ::elf_strptr(elf, header.sh_link, symbol.st_name);
    if (found != nullptr && name == found) {
      return ElfRange{ElfAddress{symbol.st_value}, symbol.st_size};
    }
  }
  return std::nullopt;
}

}  // namespace

void ElfFile::ElfEnd::operator()(Elf* elf) const { ::elf_end(elf); }

ElfFile::ElfFile(UniqueFd file, std::unique_ptr<Elf, ElfEnd> elf)
    : file_(std::move(file)), elf_(std::move(elf)) {}

Result<ElfFile> ElfFile::Open(UniqueFd file) {
  ::elf_version(EV_CURRENT);
  std::unique_ptr<Elf, ElfEnd> elf(::elf_begin(file.get(), ELF_C_READ, nullptr));
  if (!elf || ::elf_kind(elf.get()) != ELF_K_ELF || ::gelf_getclass(elf.get()) != ELFCLASS64) {
    return Fail(Errc::kMalformed, "not a 64-bit ELF file");
  }
  ElfFile result(std::move(file), std::move(elf));
  std::size_t count = 0;
  if (::elf_getphdrnum(result.elf_.get(), &count) != 0) {
    return Fail(Errc::kMalformed, "ELF file without program headers");
  }
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr header;
    if (::gelf_getphdr(result.elf_.get(), static_cast<int>(i), &header) == nullptr) break;
    if (header.p_type != PT_LOAD) continue;
    result.load_segments_.push_back(
        {FileOffset{header.p_offset}, ElfAddress{header.p_vaddr}, header.p_filesz});
  }
  return result;
}

std::optional<ElfRange> ElfFile::FindSymbol(std::string_view name) const {
  for (const GElf_Word wanted : {SHT_DYNSYM, SHT_SYMTAB}) {
    Elf_Scn* section = nullptr;
    while ((section = ::elf_nextscn(elf_.get(), section)) != nullptr) {
      GElf_Shdr header;
      if (::gelf_getshdr(section, &header) == nullptr || header.sh_type != wanted) continue;
      if (auto range = FindSymbolIn(elf_.get(), section, header, name)) return range;
    }
  }
  return std::nullopt;
}

std::optional<ElfRange> ElfFile::FindSection(std::string_view name) const {
  std::size_t names = 0;
  if (::elf_getshdrstrndx(elf_.get(), &names) != 0) return std::nullopt;
  Elf_Scn* section = nullptr;
  while ((section = ::elf_nextscn(elf_.get(), section)) != nullptr) {
    GElf_Shdr header;
    if (::gelf_getshdr(section, &header) == nullptr) continue;
    const char* found = ::elf_strptr(elf_.get(), names, header.sh_name);
    if (found != nullptr && name == found) {
      return ElfRange{ElfAddress{header.sh_addr}, header.sh_size};
    }
  }
  return std::nullopt;
}

std::optional<ElfAddress> ElfFile::AddressOf(FileOffset offset) const {
  const auto wanted = static_cast<std::uint64_t>(offset);
  for (const ElfSegment& segment : load_segments_) {
    // Mappings begin at page boundaries: the segment's first page may hold bytes from before it.
    const auto start = static_cast<std::uint64_t>(segment.offset) & ~kPageMask;
    if (wanted < start ||
        wanted >= static_cast<std::uint64_t>(segment.offset) + segment.file_size) {
      continue;
    }
    return ElfAddress{(static_cast<std::uint64_t>(segment.address) & ~kPageMask) +
                      (wanted - start)};
  }
  return std::nullopt;
}

}  // namespace agent
