// SPDX-License-Identifier: Apache-2.0
// Call frame information and ELF files from hand-made bytes.
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "tests/support/elf_header.h"

namespace agent {

class Bytes {
 public:
  template <typename T>
  Bytes& Put(T value) {
    std::byte raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    // Not insert: g++ 12 warns of copies of nothing there.
    for (const std::byte byte : raw) bytes_.push_back(byte);
    return *this;
  }
  Bytes& U8(unsigned value) { return Put(static_cast<std::uint8_t>(value)); }
  Bytes& U16(unsigned value) { return Put(static_cast<std::uint16_t>(value)); }
  Bytes& U32(std::uint64_t value) { return Put(static_cast<std::uint32_t>(value)); }
  Bytes& U64(std::uint64_t value) { return Put(value); }
  Bytes& Uleb(std::uint64_t value) {
    do {
      U8(static_cast<unsigned>(value & 0x7f) | (value > 0x7f ? 0x80u : 0u));
      value >>= 7;
    } while (value != 0);
    return *this;
  }
  Bytes& Sleb(std::int64_t value) {
    while (true) {
      const unsigned low = static_cast<unsigned>(value & 0x7f);
      value >>= 7;
      if ((value == 0 && (low & 0x40) == 0) || (value == -1 && (low & 0x40) != 0)) return U8(low);
      U8(low | 0x80);
    }
  }
  Bytes& Text(std::string_view text) {  // with its NUL
    for (const char c : text) U8(static_cast<unsigned char>(c));
    return U8(0);
  }
  Bytes& List(std::initializer_list<unsigned> values) {
    for (const unsigned value : values) U8(value);
    return *this;
  }
  Bytes& Append(const Bytes& other) {
    for (const std::byte byte : other.bytes_) bytes_.push_back(byte);
    return *this;
  }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] const std::vector<std::byte>& get() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

/// An entry with its length before it, 4 bytes or 4 and 8.
inline Bytes Entry(const Bytes& body, bool is_64 = false) {
  Bytes entry;
  if (is_64) {
    entry.U32(0xffffffff).U64(body.size());
  } else {
    entry.U32(body.size());
  }
  return entry.Append(body);
}

/// The CIE of x86-64 code in .eh_frame, version 1: CFA is rsp + 8, the return address lies below
/// it.
inline Bytes UsualCie(std::string_view augmentation = "zR", const Bytes& more = {}) {
  Bytes body;
  body.U32(0).U8(1).Text(augmentation).Uleb(1).Sleb(-8).U8(16);
  body.Uleb(1).U8(0x00);                           // pointers are absolute
  body.U8(0x0c).Uleb(7).Uleb(8).U8(0x90).Uleb(1);  // def_cfa rsp 8; offset r16 1
  return Entry(body.Append(more));
}

/// Its FDE, at `offset` of the section; the CIE is the section's first entry.
inline Bytes UsualFde(std::size_t offset, std::uint64_t start, std::uint64_t size,
                      const Bytes& program) {
  Bytes body;
  body.U32(offset + 4).U64(start).U64(size).Uleb(0).Append(program);
  return Entry(body);
}

constexpr std::uint64_t kCodeStart = 0x1000;
constexpr std::uint64_t kSectionAddress = 0x900000;

/// An ELF file of one executable segment of `code_size` bytes at kCodeStart, and a section.
inline std::shared_ptr<const std::vector<std::byte>> ElfWithSection(std::string_view name,
                                                                    const Bytes& content,
                                                                    std::uint64_t code_size) {
  const std::string names = std::string(1, '\0') + std::string(name) + '\0' + ".shstrtab" + '\0';
  Elf64_Ehdr header = testing::ElfHeader(ET_DYN, EM_X86_64, 1);
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  header.e_shstrndx = 2;
  const std::size_t content_at = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
  const std::size_t names_at = content_at + content.size();
  const std::size_t sections_at = (names_at + names.size() + 7) / 8 * 8;
  header.e_shoff = sections_at;
  Elf64_Phdr code{};
  code.p_type = PT_LOAD;
  code.p_flags = PF_R | PF_X;
  code.p_vaddr = kCodeStart;
  code.p_filesz = 16;
  code.p_memsz = code_size;
  Elf64_Shdr sections[3] = {};
  sections[1].sh_name = 1;
  sections[1].sh_type = SHT_PROGBITS;
  sections[1].sh_flags = SHF_ALLOC;
  sections[1].sh_addr = kSectionAddress;
  sections[1].sh_offset = content_at;
  sections[1].sh_size = content.size();
  sections[1].sh_addralign = 1;
  sections[2].sh_name = static_cast<Elf64_Word>(name.size() + 2);
  sections[2].sh_type = SHT_STRTAB;
  sections[2].sh_offset = names_at;
  sections[2].sh_size = names.size();
  sections[2].sh_addralign = 1;
  Bytes file;
  file.Put(header).Put(code).Append(content);
  for (const char c : names) file.U8(static_cast<unsigned char>(c));
  while (file.size() < sections_at) file.U8(0);
  for (const Elf64_Shdr& section : sections) file.Put(section);
  return std::make_shared<const std::vector<std::byte>>(file.get());
}

}  // namespace agent
