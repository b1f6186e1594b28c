// SPDX-License-Identifier: Apache-2.0
#include "tests/live/code_names.h"

#include <fmt/format.h>
#include <gelf.h>

namespace agent::live {

CodeNames::Symbols CodeNames::Read(const unwind::CodeFile& file) {
  Symbols symbols;
  const Result<ElfFile> elf = file.source()->Open();
  if (!elf) return symbols;
  for (const unsigned wanted : {SHT_SYMTAB, SHT_DYNSYM}) {
    Elf_Scn* section = nullptr;
    while ((section = ::elf_nextscn(elf->handle(), section)) != nullptr) {
      GElf_Shdr header;
      if (::gelf_getshdr(section, &header) == nullptr || header.sh_type != wanted) continue;
      Elf_Data* data = ::elf_getdata(section, nullptr);
      if (data == nullptr) continue;
      GElf_Sym symbol;
      for (int i = 0; ::gelf_getsym(data, i, &symbol) != nullptr; ++i) {
        const int type = GELF_ST_TYPE(symbol.st_info);
        if (symbol.st_value == 0 || (type != STT_FUNC && type != STT_GNU_IFUNC)) continue;
        const char* name = ::elf_strptr(elf->handle(), header.sh_link, symbol.st_name);
        if (name == nullptr) continue;
        Symbol& entry = symbols[symbol.st_value];
        // Assembly without a size: up to the next symbol.
        const std::uint64_t size = symbol.st_size == 0 ? 4096 : symbol.st_size;
        if (entry.name.empty()) entry = {.end = symbol.st_value + size, .name = name};
      }
    }
    if (!symbols.empty()) break;
  }
  return symbols;
}

std::string CodeNames::Of(const unwind::CodeRegion* region, std::uint64_t address) {
  if (region == nullptr) return fmt::format("[unmapped]+{:#x}", address);
  const std::string& path = region->module->path;
  std::string base = path.substr(path.rfind('/') + 1);
  if (region->file == nullptr) return base;
  const auto [place, inserted] = files_.try_emplace(region->file);
  if (inserted) place->second = Read(*region->file);
  const std::uint64_t own = address - region->bias;
  const auto after = place->second.upper_bound(own);
  if (after != place->second.begin()) {
    const auto& [start, symbol] = *std::prev(after);
    if (own < symbol.end) return base + ':' + symbol.name;
  }
  return fmt::format("{}+{:#x}", base, own & ~std::uint64_t{15});
}

}  // namespace agent::live
