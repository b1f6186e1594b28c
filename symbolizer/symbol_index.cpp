// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/symbol_index.h"

#include <gelf.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "symbolizer/dynamic_symbols.h"
#include "symbolizer/plt_stubs.h"

namespace agent {
namespace {

constexpr std::size_t kMaxName = 16u << 10;

std::string_view WithoutVersion(std::string_view name) {
  if (name.ends_with("@plt")) return name;
  return name.substr(0, name.find('@', 1));
}

std::size_t LeadingUnderscores(std::string_view name) {
  if (name.starts_with("_Z") || name.starts_with("_R")) return 0;  // mangled
  return std::min(name.find_first_not_of('_'), name.size());
}

// The smaller, the better a name is for its place.
auto Rank(const ElfSymbol& symbol) {
  return std::tuple(symbol.binding == STB_LOCAL, LeadingUnderscores(symbol.name),
                    symbol.binding == STB_WEAK, symbol.name.size(), symbol.name);
}

bool IsLabel(const ElfSymbol& symbol) { return symbol.type == STT_NOTYPE; }

// Compilers' and assemblers' own labels, and the marks of code and data in ARM code ("$x").
bool IsInternal(std::string_view name) {
  return name.empty() || name.starts_with(".L") || name.front() == '$';
}

}  // namespace

void SymbolIndex::Add(const ElfSymbol& symbol) {
  const bool code =
      symbol.type == STT_FUNC || symbol.type == STT_GNU_IFUNC || symbol.type == STT_NOTYPE;
  if (!code || symbols_.size() >= kMaxSymbols || !code_.Contains(symbol.address)) return;
  ElfSymbol kept = symbol;
  kept.name = WithoutVersion(symbol.name.substr(0, kMaxName));
  if (IsInternal(kept.name)) return;
  symbols_.push_back(kept);
}

void SymbolIndex::AddTable(const ElfFile& file, const SectionHeader& table) {
  Elf_Data* data = ::elf_getdata(::elf_getscn(file.handle(), table.index), nullptr);
  if (data == nullptr || table.entry_size == 0) return;
  const std::size_t count = std::min<std::size_t>(data->d_size / table.entry_size, kMaxSymbols);
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Sym symbol;
    if (::gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) return;
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS || symbol.st_value == 0) {
      continue;
    }
    Add({.address = symbol.st_value,
         .size = symbol.st_size,
         .type = static_cast<std::uint8_t>(GELF_ST_TYPE(symbol.st_info)),
         .binding = static_cast<std::uint8_t>(GELF_ST_BIND(symbol.st_info)),
         .name = ElfString(file.handle(), table.link, symbol.st_name, kMaxName)});
  }
}

void SymbolIndex::AddDynamic(const ElfFile& file) {
  auto table = std::make_shared<DynamicSymbols>(ReadDynamicSymbols(file));
  for (const ElfSymbol& symbol : table->symbols) Add(symbol);
  storage_.push_back(std::move(table));
}

void SymbolIndex::Add(std::shared_ptr<const ElfFile> file) {
  const std::vector<SectionHeader> headers = ReadSectionHeaders(*file);
  bool has_table = false;
  // There is one of each (ELF specification, "Sections"); a hostile file has many.
  for (const std::uint32_t type : {SHT_SYMTAB, SHT_DYNSYM}) {
    const auto table = std::ranges::find(headers, type, &SectionHeader::type);
    if (table == headers.end()) continue;
    has_table = true;
    AddTable(*file, *table);
  }
  if (!has_table) AddDynamic(*file);
  auto stubs = std::make_shared<std::vector<PltStub>>(ReadPltStubs(*file, headers));
  for (const PltStub& stub : *stubs) {
    Add({.address = stub.address,
         .size = stub.size,
         .type = STT_FUNC,
         .binding = STB_LOCAL,
         .name = stub.name});
  }
  storage_.push_back(std::move(stubs));
  files_.push_back(std::move(file));
}

void SymbolIndex::Seal() {
  // The best name of a place comes last, to be found first; with a size before without.
  std::ranges::sort(symbols_, [](const ElfSymbol& a, const ElfSymbol& b) {
    if (a.address != b.address) return a.address < b.address;
    if (IsLabel(a) != IsLabel(b)) return IsLabel(a);
    if ((a.size == 0) != (b.size == 0)) return a.size == 0;
    return Rank(a) > Rank(b);
  });
  // From the end, so that the next symbol is known.
  std::uint64_t next_function = ~std::uint64_t{0};
  std::uint64_t next_symbol = ~std::uint64_t{0};
  std::uint64_t address = ~std::uint64_t{0};
  std::uint64_t function_here = ~std::uint64_t{0};
  std::vector<std::pair<ElfSymbol, std::uint64_t>> ends;
  ends.reserve(symbols_.size());
  for (auto place = symbols_.rbegin(); place != symbols_.rend(); ++place) {
    if (place->address != address) {
      next_symbol = address;
      next_function = function_here;
      address = place->address;
    }
    if (!IsLabel(*place)) function_here = address;
    const std::uint64_t section_end = code_.EndFrom(address).value_or(address);
    const std::uint64_t next = IsLabel(*place) ? next_symbol : next_function;
    const std::uint64_t end = place->size != 0
                                  ? address + std::min(place->size, section_end - address)
                                  : std::min(next, section_end);
    // The better name for just this range is there already.
    if (!ends.empty() && ends.back().first.address == address && ends.back().second == end &&
        IsLabel(ends.back().first) == IsLabel(*place)) {
      continue;
    }
    ends.emplace_back(*place, end);
  }
  for (auto place = ends.rbegin(); place != ends.rend(); ++place) {
    auto& table = IsLabel(place->first) ? labels_ : functions_;
    table.Add(place->first.address, place->second, place->first);
  }
  functions_.Seal();
  labels_.Seal();
  symbols_.clear();
  symbols_.shrink_to_fit();
}

std::optional<ElfSymbol> SymbolIndex::Lookup(std::uint64_t address) const {
  std::optional<ElfSymbol> found;
  const auto take = [&found](const RangeTable<ElfSymbol>::Entry& entry) {
    found = entry.value;
    return true;
  };
  if (!functions_.Find(address, take)) labels_.Find(address, take);
  return found;
}

void SymbolIndex::Find(ElfAddress address, std::vector<NamedLevel>& chain) {
  const auto symbol = Lookup(static_cast<std::uint64_t>(address));
  if (symbol) chain.emplace_back().name = symbol->name;
}

}  // namespace agent
