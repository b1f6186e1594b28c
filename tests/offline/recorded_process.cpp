// SPDX-License-Identifier: Apache-2.0
#include "tests/offline/recorded_process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "agent/process/mappings.h"
#include "tests/support/elf_header.h"

namespace agent::offline {
namespace {

// Not insert: g++ 12 warns of copies of nothing there.
void AppendBytes(std::vector<std::byte>& bytes, std::span<const std::byte> more) {
  bytes.reserve(bytes.size() + more.size());
  for (const std::byte byte : more) bytes.push_back(byte);
}

template <typename T>
void Append(std::vector<std::byte>& bytes, const T& value) {
  AppendBytes(bytes, std::as_bytes(std::span(&value, 1)));
}

// Names one behind another, as .dynstr and .shstrtab have them.
struct Names {
  std::string text = std::string(1, '\0');
  std::uint32_t Add(std::string_view name) {
    const auto place = static_cast<std::uint32_t>(text.size());
    text += name;
    text += '\0';
    return place;
  }
};

Elf64_Shdr SectionHeader(std::uint32_t name, std::uint32_t type, const ElfRange& range) {
  Elf64_Shdr header{};
  header.sh_name = name;
  header.sh_type = type;
  header.sh_flags = SHF_ALLOC;
  header.sh_addr = static_cast<std::uint64_t>(range.address);
  header.sh_size = range.size;
  header.sh_addralign = 1;
  return header;
}

// Header, program headers, symbols, names, section headers.
std::vector<std::byte> MakeElfFile(const FileFacts& facts) {
  std::vector<std::byte> bytes;
  auto header =
      testing::ElfHeader(ET_DYN, EM_X86_64, static_cast<Elf64_Half>(facts.segments.size()));
  Append(bytes, header);
  for (const ElfSegment& segment : facts.segments) {
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R | (segment.executable ? PF_X : 0u);
    load.p_offset = static_cast<std::uint64_t>(segment.offset);
    load.p_vaddr = static_cast<std::uint64_t>(segment.address);
    load.p_filesz = segment.file_size;
    load.p_memsz = segment.memory_size;
    Append(bytes, load);
  }
  Names names;
  std::vector<Elf64_Shdr> sections(1);
  // The first one, as the symbols are said to be in a section.
  for (const auto& [name, range] : facts.sections) {
    sections.push_back(SectionHeader(names.Add(name), SHT_NOBITS, range));
  }
  const auto put = [&](std::string_view name, std::uint32_t type, ElfAddress address,
                       std::span<const std::byte> content) {
    Elf64_Shdr section =
        SectionHeader(names.Add(name), type, {.address = address, .size = content.size()});
    section.sh_offset = bytes.size();
    AppendBytes(bytes, content);
    sections.push_back(section);
  };
  for (const auto& [name, content] : facts.contents) {
    put(name, SHT_PROGBITS, content.address, content.bytes);
  }
  Names symbol_names;
  std::vector<std::byte> symbols(sizeof(Elf64_Sym));
  for (const auto& [name, range] : facts.symbols) {
    Elf64_Sym symbol{};
    symbol.st_name = symbol_names.Add(name);
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
    symbol.st_shndx = 1;
    symbol.st_value = static_cast<std::uint64_t>(range.address);
    symbol.st_size = range.size;
    Append(symbols, symbol);
  }
  put(".dynstr", SHT_STRTAB, {}, std::as_bytes(std::span(symbol_names.text)));
  put(".dynsym", SHT_DYNSYM, {}, symbols);
  sections.back().sh_link = static_cast<std::uint32_t>(sections.size() - 2);
  sections.back().sh_entsize = sizeof(Elf64_Sym);
  const std::uint32_t own = names.Add(".shstrtab");
  Elf64_Shdr last = SectionHeader(own, SHT_STRTAB, {.address = {}, .size = names.text.size()});
  last.sh_offset = bytes.size();
  AppendBytes(bytes, std::as_bytes(std::span(names.text)));
  sections.push_back(last);
  header.e_shoff = bytes.size();
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<Elf64_Half>(sections.size());
  header.e_shstrndx = static_cast<Elf64_Half>(sections.size() - 1);
  for (const Elf64_Shdr& section : sections) Append(bytes, section);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

}  // namespace

std::size_t RecordedMemory::Copy(RemoteAddress address, std::span<std::byte> destination) const {
  std::size_t done = 0;
  while (done < destination.size()) {
    const std::uint64_t place = address.Plus(done).value();
    const auto page = pages_.find(place / kPage * kPage);
    if (page == pages_.end()) break;
    const std::size_t count =
        std::min<std::size_t>(destination.size() - done, kPage - place % kPage);
    std::memcpy(destination.data() + done, page->second.data() + place % kPage, count);
    done += count;
  }
  return done;
}

Result<void> RecordedMemory::ReadRanges(std::span<const ReadRange> ranges) {
  for (const ReadRange& range : ranges) {
    if (Copy(range.address, range.destination) != range.destination.size()) {
      return Fail(Errc::kUnreadable, "not recorded");
    }
  }
  return {};
}

Result<std::size_t> RecordedMemory::ReadSome(RemoteAddress address,
                                             std::span<std::byte> destination) {
  const std::size_t count = Copy(address, destination);
  if (count == 0) return Fail(Errc::kUnreadable, "not recorded");
  return count;
}

Result<std::vector<Mapping>> RecordedProcess::ReadMappings() {
  return ParseMappings(recording_.maps);
}

Result<UniqueFd> RecordedProcess::OpenMappedFile(const Mapping& mapping) {
  const auto found = recording_.files.find({mapping.device, mapping.inode});
  if (found == recording_.files.end()) return Fail(Errc::kUnreadable, "not recorded");
  const std::vector<std::byte> bytes = MakeElfFile(found->second);
  UniqueFd file(::memfd_create("recorded", MFD_CLOEXEC));
  if (!file.valid() ||
      ::pwrite(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return FailErrno("memfd_create");
  }
  return file;
}

RecordedProcess::~RecordedProcess() {
  std::error_code ignored;
  if (!root_.empty()) std::filesystem::remove_all(root_, ignored);
}

Result<UniqueFd> RecordedProcess::OpenRoot() {
  if (recording_.root.empty()) return Fail(Errc::kUnreadable, "no root");
  if (root_.empty()) AGENT_CHECK_OK(MakeRoot());
  UniqueFd root(::open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return FailErrno("open");
  return root;
}

Result<void> RecordedProcess::MakeRoot() {
  std::string folder = (std::filesystem::temp_directory_path() / "agent-recorded-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return FailErrno("mkdtemp");
  root_ = folder;
  for (const auto& [path, bytes] : recording_.root) {
    const std::filesystem::path place = root_ + path;
    std::error_code failed;
    std::filesystem::create_directories(place.parent_path(), failed);
    std::ofstream(place, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  return {};
}

}  // namespace agent::offline
