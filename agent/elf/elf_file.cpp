// SPDX-License-Identifier: Apache-2.0
#include "agent/elf/elf_file.h"

#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/base/byte_reader.h"
#include "agent/base/hex.h"

namespace agent {
namespace {

constexpr std::uint64_t kPageMask = 4095;
constexpr std::size_t kMaxBuildId = 64;
constexpr std::size_t kMaxName = 4096;
constexpr std::size_t kMaxDynamic = 64u << 10;  // bytes
constexpr std::uint64_t kMaxDecompressed = 1u << 30;

// Calls `visit(name, symbol)` for each defined symbol of the first table of a type, until it
// returns true. False: there is no such table. There is one of each (ELF specification,
// "Sections"); a hostile file has many.
template <typename Visit>
bool VisitSymbols(Elf* elf, GElf_Word type, Visit visit) {
  Elf_Scn* section = nullptr;
  while ((section = ::elf_nextscn(elf, section)) != nullptr) {
    GElf_Shdr header;
    if (::gelf_getshdr(section, &header) == nullptr || header.sh_type != type) continue;
    Elf_Data* data = header.sh_entsize == 0 ? nullptr : ::elf_getdata(section, nullptr);
    if (data == nullptr) return false;
    const auto count = static_cast<int>(data->d_size / header.sh_entsize);
    GElf_Sym symbol;
    for (int i = 0; i < count && ::gelf_getsym(data, i, &symbol) != nullptr; ++i) {
      if (symbol.st_shndx == SHN_UNDEF) continue;
      if (visit(ElfString(elf, header.sh_link, symbol.st_name, kMaxName), symbol)) break;
    }
    return true;
  }
  return false;
}

ElfSegment SegmentOf(const GElf_Phdr& header) {
  return {.offset = FileOffset{header.p_offset},
          .address = ElfAddress{header.p_vaddr},
          .file_size = header.p_filesz,
          .memory_size = header.p_memsz,
          .executable = (header.p_flags & PF_X) != 0};
}

std::vector<GElf_Phdr> ProgramHeaders(Elf* elf) {
  std::vector<GElf_Phdr> headers;
  std::size_t count = 0;
  if (::elf_getphdrnum(elf, &count) != 0) return headers;
  GElf_Phdr header;
  for (std::size_t i = 0; i < count && ::gelf_getphdr(elf, static_cast<int>(i), &header) != nullptr;
       ++i) {
    headers.push_back(header);
  }
  return headers;
}

// The first section of this name that `accept`s it; null when there is none.
template <typename Accept>
Elf_Scn* FindSectionNamed(Elf* elf, std::string_view name, GElf_Shdr* header, Accept accept) {
  std::size_t names = 0;
  if (::elf_getshdrstrndx(elf, &names) != 0) return nullptr;
  Elf_Scn* section = nullptr;
  while ((section = ::elf_nextscn(elf, section)) != nullptr) {
    if (::gelf_getshdr(section, header) == nullptr || !accept(*header)) continue;
    if (ElfString(elf, names, header->sh_name, kMaxName) == name) return section;
  }
  return nullptr;
}

}  // namespace

std::string_view ElfString(Elf* elf, std::size_t section, std::size_t offset, std::size_t max) {
  const Elf_Data* data = ::elf_getdata(::elf_getscn(elf, section), nullptr);
  if (data == nullptr || data->d_buf == nullptr || offset >= data->d_size) return {};
  const char* start = static_cast<const char*>(data->d_buf) + offset;
  return {start, ::strnlen(start, std::min(max, data->d_size - offset))};
}

void ElfFile::ElfEnd::operator()(Elf* elf) const { ::elf_end(elf); }

ElfFile::ElfFile(UniqueFd file, std::shared_ptr<const std::vector<std::byte>> bytes,
                 std::unique_ptr<Elf, ElfEnd> elf)
    : file_(std::move(file)), bytes_(std::move(bytes)), elf_(std::move(elf)) {}

Result<ElfFile> ElfFile::Open(UniqueFd file) {
  ::elf_version(EV_CURRENT);
  std::unique_ptr<Elf, ElfEnd> elf(::elf_begin(file.get(), ELF_C_READ, nullptr));
  return Make(std::move(file), nullptr, std::move(elf));
}

Result<ElfFile> ElfFile::OpenBytes(std::shared_ptr<const std::vector<std::byte>> bytes) {
  ::elf_version(EV_CURRENT);
  // libelf does not write to it: only elf_update would.
  auto* image = reinterpret_cast<char*>(const_cast<std::byte*>(bytes->data()));
  std::unique_ptr<Elf, ElfEnd> elf(::elf_memory(image, bytes->size()));
  return Make(UniqueFd(), std::move(bytes), std::move(elf));
}

Result<ElfFile> ElfFile::Make(UniqueFd file, std::shared_ptr<const std::vector<std::byte>> bytes,
                              std::unique_ptr<Elf, ElfEnd> elf) {
  if (!elf || ::elf_kind(elf.get()) != ELF_K_ELF || ::gelf_getclass(elf.get()) != ELFCLASS64) {
    return Fail(Errc::kMalformed, "not a 64-bit ELF file");
  }
  ElfFile result(std::move(file), std::move(bytes), std::move(elf));
  GElf_Ehdr header;
  if (::gelf_getehdr(result.elf_.get(), &header) != nullptr) {
    result.machine_ = header.e_machine;
    result.entry_ = ElfAddress{header.e_entry};
  }
  std::size_t count = 0;
  if (::elf_getphdrnum(result.elf_.get(), &count) != 0) {
    return Fail(Errc::kMalformed, "ELF file without program headers");
  }
  for (const GElf_Phdr& segment : ProgramHeaders(result.elf_.get())) {
    if (segment.p_type == PT_LOAD) result.load_segments_.push_back(SegmentOf(segment));
  }
  return result;
}

std::optional<ElfRange> ElfFile::FindSymbol(std::string_view name) const {
  std::optional<ElfRange> found;
  const auto look = [&](std::string_view one, const GElf_Sym& symbol) {
    if (one == name) found = {ElfAddress{symbol.st_value}, symbol.st_size};
    return found.has_value();
  };
  VisitSymbols(elf_.get(), SHT_DYNSYM, look);
  if (!found) VisitSymbols(elf_.get(), SHT_SYMTAB, look);
  return found;
}

void ElfFile::VisitFunctions(
    const std::function<void(std::string_view name, const ElfRange& range)>& visit) const {
  const auto look = [&](std::string_view name, const GElf_Sym& symbol) {
    if (GELF_ST_TYPE(symbol.st_info) == STT_FUNC) {
      visit(name, {ElfAddress{symbol.st_value}, symbol.st_size});
    }
    return false;
  };
  if (!VisitSymbols(elf_.get(), SHT_SYMTAB, look)) VisitSymbols(elf_.get(), SHT_DYNSYM, look);
}

std::optional<ElfRange> ElfFile::FindSection(std::string_view name) const {
  GElf_Shdr header;
  const auto any = [](const GElf_Shdr&) { return true; };
  if (FindSectionNamed(elf_.get(), name, &header, any) == nullptr) return std::nullopt;
  return ElfRange{ElfAddress{header.sh_addr}, header.sh_size};
}

std::optional<ElfSection> ElfFile::ReadSection(std::string_view name) const {
  GElf_Shdr header;
  const auto has_content = [](const GElf_Shdr& found) { return found.sh_type != SHT_NOBITS; };
  Elf_Scn* section = FindSectionNamed(elf_.get(), name, &header, has_content);
  if (section == nullptr) return std::nullopt;
  if ((header.sh_flags & SHF_COMPRESSED) != 0) {
    GElf_Chdr compressed;
    if (::gelf_getchdr(section, &compressed) == nullptr || compressed.ch_size > kMaxDecompressed ||
        ::elf_compress(section, 0, 0) < 0) {
      return std::nullopt;
    }
  }
  const Elf_Data* data = ::elf_rawdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return std::nullopt;
  return ElfSection{.address = ElfAddress{header.sh_addr},
                    .bytes = {static_cast<const std::byte*>(data->d_buf), data->d_size}};
}

std::optional<ElfSegment> ElfFile::FindSegment(std::uint32_t type) const {
  for (const GElf_Phdr& header : ProgramHeaders(elf_.get())) {
    if (header.p_type == type) return SegmentOf(header);
  }
  return std::nullopt;
}

std::vector<std::byte> ElfFile::ReadLoaded(ElfAddress address, std::size_t size) const {
  const auto wanted = static_cast<std::uint64_t>(address);
  for (const ElfSegment& segment : load_segments_) {
    const auto start = static_cast<std::uint64_t>(segment.address);
    if (wanted < start || wanted - start >= segment.file_size) continue;
    const std::uint64_t count = std::min<std::uint64_t>(size, segment.file_size - (wanted - start));
    std::int64_t offset = 0;
    if (__builtin_add_overflow(static_cast<std::uint64_t>(segment.offset), wanted - start,
                               &offset)) {
      return {};
    }
    Elf_Data* data = ::elf_getdata_rawchunk(elf_.get(), offset, count, ELF_T_BYTE);
    if (data == nullptr || data->d_buf == nullptr) return {};
    const auto* bytes = static_cast<const std::byte*>(data->d_buf);
    return {bytes, bytes + data->d_size};
  }
  return {};
}

std::optional<std::span<const std::byte>> ElfFile::FindNote(
    std::string_view owner, std::optional<std::uint32_t> type) const {
  for (const GElf_Phdr& header : ProgramHeaders(elf_.get())) {
    if (header.p_type != PT_NOTE) continue;
    Elf_Data* data =
        ::elf_getdata_rawchunk(elf_.get(), static_cast<std::int64_t>(header.p_offset),
                               header.p_filesz, header.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    if (data == nullptr) continue;
    const auto* bytes = static_cast<const char*>(data->d_buf);
    std::size_t position = 0;
    std::size_t name = 0;
    std::size_t content = 0;
    GElf_Nhdr note;
    while ((position = ::gelf_getnote(data, position, &note, &name, &content)) > 0) {
      // The name's zero belongs to it.
      if (note.n_namesz == owner.size() + 1 &&
          std::string_view(bytes + name, owner.size()) == owner &&
          bytes[name + owner.size()] == 0 && note.n_type == type.value_or(note.n_type)) {
        return std::as_bytes(std::span(bytes + content, note.n_descsz));
      }
    }
  }
  return std::nullopt;
}

std::string ElfFile::BuildId() const {
  const auto id = FindNote("GNU", NT_GNU_BUILD_ID);
  return id && id->size() <= kMaxBuildId ? ToHex(*id) : std::string();
}

std::vector<ElfDynamicEntry> ElfFile::ReadDynamic() const {
  std::vector<ElfDynamicEntry> entries;
  const auto segment = FindSegment(PT_DYNAMIC);
  if (!segment) return entries;
  const std::vector<std::byte> bytes =
      ReadLoaded(segment->address, std::min<std::uint64_t>(segment->memory_size, kMaxDynamic));
  ByteReader reader(bytes);
  while (true) {
    const auto tag = reader.Read<std::int64_t>();
    const auto value = reader.Read<std::uint64_t>();
    if (!reader.ok() || tag == DT_NULL) return entries;
    entries.push_back({.tag = tag, .value = value});
  }
}

Result<ElfFile> ElfSource::Open() const {
  if (bytes_) return ElfFile::OpenBytes(bytes_);
  // libelf reads by pread: all copies of the descriptor may be used at once.
  UniqueFd copy(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return FailErrno("dup");
  return ElfFile::Open(std::move(copy));
}

std::optional<ElfAddress> CodeAddressOf(std::span<const ElfSegment> segments, FileOffset offset) {
  const auto wanted = static_cast<std::uint64_t>(offset);
  for (const ElfSegment& segment : segments) {
    // Mappings begin at page boundaries: the segment's first page may hold bytes from before it.
    const auto start = static_cast<std::uint64_t>(segment.offset) & ~kPageMask;
    if (!segment.executable || wanted < start ||
        wanted >= static_cast<std::uint64_t>(segment.offset) + segment.file_size) {
      continue;
    }
    return ElfAddress{(static_cast<std::uint64_t>(segment.address) & ~kPageMask) +
                      (wanted - start)};
  }
  return std::nullopt;
}

}  // namespace agent
