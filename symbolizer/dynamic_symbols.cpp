// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/dynamic_symbols.h"

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "symbolizer/symbol_index.h"

namespace agent {
namespace {

constexpr std::size_t kMaxSymbols = 1u << 20;
constexpr std::size_t kMaxStrings = 64u << 20;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMaxTries = 4096;

// The entries of PT_DYNAMIC that matter; 0 where there is none.
struct Dynamic {
  std::uint64_t symbols = 0;
  std::uint64_t strings = 0;
  std::uint64_t strings_size = 0;
  std::uint64_t hash = 0;
  std::uint64_t gnu_hash = 0;
};

template <typename T>
std::optional<T> ReadAs(const ElfFile& file, std::uint64_t address) {
  const std::vector<std::byte> bytes = file.ReadLoaded(ElfAddress{address}, sizeof(T));
  if (bytes.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

std::optional<Dynamic> ReadDynamic(const ElfFile& file) {
  Dynamic dynamic;
  for (const ElfDynamicEntry& entry : file.ReadDynamic()) {
    if (entry.tag == DT_SYMTAB) dynamic.symbols = entry.value;
    if (entry.tag == DT_STRTAB) dynamic.strings = entry.value;
    if (entry.tag == DT_STRSZ) dynamic.strings_size = entry.value;
    if (entry.tag == DT_HASH) dynamic.hash = entry.value;
    if (entry.tag == DT_GNU_HASH) dynamic.gnu_hash = entry.value;
  }
  if (dynamic.symbols == 0 || dynamic.strings == 0 || dynamic.strings_size == 0) {
    return std::nullopt;
  }
  return dynamic;
}

// Whether the tables are where `dynamic` says: the first symbol is all zero, the strings begin and
// end with a zero (ELF specification, "Symbol Table" and "String Table").
bool IsPlausible(const ElfFile& file, const Dynamic& dynamic) {
  const auto symbol = ReadAs<Elf64_Sym>(file, dynamic.symbols);
  const auto first = ReadAs<char>(file, dynamic.strings);
  const auto last = ReadAs<char>(file, dynamic.strings + dynamic.strings_size - 1);
  constexpr Elf64_Sym kNone{};
  return symbol && std::memcmp(&*symbol, &kNone, sizeof(kNone)) == 0 && first == '\0' &&
         last == '\0';
}

Dynamic Rebased(Dynamic dynamic, std::uint64_t bias) {
  dynamic.symbols -= bias;
  dynamic.strings -= bias;
  if (dynamic.hash != 0) dynamic.hash -= bias;
  if (dynamic.gnu_hash != 0) dynamic.gnu_hash -= bias;
  return dynamic;
}

// As the file had it, before a loader added the load address (a whole number of pages).
std::optional<Dynamic> WithoutLoadAddress(const ElfFile& file, const Dynamic& dynamic) {
  if (IsPlausible(file, dynamic)) return dynamic;
  if (file.load_segments().empty()) return std::nullopt;
  const auto start = static_cast<std::uint64_t>(file.load_segments().front().address);
  const std::uint64_t highest = (std::min(dynamic.symbols, dynamic.strings) - start) & ~(kPage - 1);
  for (std::uint64_t i = 0; i < kMaxTries && i * kPage <= highest; ++i) {
    const Dynamic tried = Rebased(dynamic, highest - i * kPage);
    if (IsPlausible(file, tried)) return tried;
  }
  return std::nullopt;
}

// The number of symbols by DT_GNU_HASH: one more than the last one in the longest chain.
std::size_t CountByGnuHash(const ElfFile& file, std::uint64_t table) {
  struct Header {
    std::uint32_t buckets;
    std::uint32_t first_symbol;
    std::uint32_t bloom_words;
    std::uint32_t bloom_shift;
  };
  const auto header = ReadAs<Header>(file, table);
  if (!header || header->buckets > kMaxSymbols || header->bloom_words > kMaxSymbols) return 0;
  const std::uint64_t buckets = table + sizeof(Header) + std::uint64_t{header->bloom_words} * 8;
  const std::vector<std::byte> bytes =
      file.ReadLoaded(ElfAddress{buckets}, std::size_t{header->buckets} * 4);
  std::uint32_t last = 0;
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    std::uint32_t symbol = 0;
    std::memcpy(&symbol, bytes.data() + i, 4);
    last = std::max(last, symbol);
  }
  if (last < header->first_symbol) return header->first_symbol;
  const std::uint64_t chains = buckets + std::uint64_t{header->buckets} * 4;
  for (; last < kMaxSymbols; ++last) {
    const auto hash =
        ReadAs<std::uint32_t>(file, chains + std::uint64_t{last - header->first_symbol} * 4);
    if (!hash) return 0;
    if ((*hash & 1) != 0) return last + 1;
  }
  return 0;
}

std::size_t CountSymbols(const ElfFile& file, const Dynamic& dynamic) {
  if (dynamic.hash != 0) {
    const auto chains = ReadAs<std::uint32_t>(file, dynamic.hash + 4);
    if (chains && *chains > 0) return std::min<std::size_t>(*chains, kMaxSymbols);
  }
  return dynamic.gnu_hash != 0 ? CountByGnuHash(file, dynamic.gnu_hash) : 0;
}

std::string_view NameAt(const std::vector<std::byte>& names, std::uint32_t place) {
  if (place >= names.size()) return {};
  const auto* start = reinterpret_cast<const char*>(names.data()) + place;
  return {start, ::strnlen(start, names.size() - place)};
}

}  // namespace

DynamicSymbols ReadDynamicSymbols(const ElfFile& file) {
  DynamicSymbols table;
  const auto raw = ReadDynamic(file);
  const auto dynamic = raw ? WithoutLoadAddress(file, *raw) : std::nullopt;
  if (!dynamic) return table;
  table.names = file.ReadLoaded(ElfAddress{dynamic->strings},
                                std::min<std::uint64_t>(dynamic->strings_size, kMaxStrings));
  const std::vector<std::byte> bytes = file.ReadLoaded(
      ElfAddress{dynamic->symbols}, CountSymbols(file, *dynamic) * sizeof(Elf64_Sym));
  for (std::size_t i = 0; i + sizeof(Elf64_Sym) <= bytes.size(); i += sizeof(Elf64_Sym)) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, bytes.data() + i, sizeof(symbol));
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS) continue;
    table.symbols.push_back({.address = symbol.st_value,
                             .size = symbol.st_size,
                             .type = static_cast<std::uint8_t>(ELF64_ST_TYPE(symbol.st_info)),
                             .binding = static_cast<std::uint8_t>(ELF64_ST_BIND(symbol.st_info)),
                             .name = NameAt(table.names, symbol.st_name)});
  }
  return table;
}

}  // namespace agent
