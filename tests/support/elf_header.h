// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <elf.h>

#include <cstring>

namespace agent::testing {

/// The header of a 64-bit file made by hand; program headers follow it at once.
inline Elf64_Ehdr ElfHeader(Elf64_Half type, Elf64_Half machine, Elf64_Half program_headers) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = type;
  header.e_machine = machine;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof(header);
  header.e_ehsize = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = program_headers;
  return header;
}

}  // namespace agent::testing
