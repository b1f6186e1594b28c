// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/elf/elf_file.h"
#include "symbolizer/elf_sections.h"
#include "symbolizer/name_source.h"
#include "symbolizer/range_table.h"

namespace agent {

/// A function of an ELF symbol table.
struct ElfSymbol {
  std::uint64_t address = 0;
  std::uint64_t size = 0;  ///< 0: not said (hand-written assembly).
  std::uint8_t type = 0;   ///< STT_*
  std::uint8_t binding = 0;
  std::string_view name;  ///< Without a version ("@@GLIBC_2.34").
};

/// Symbols of one module's code, from one or more tables, sorted.
///
/// - A symbol with a size covers just that. One without reaches to the next symbol, at most to the
///   end of its section.
/// - Symbols without a type (STT_NOTYPE) name only what no function covers.
/// - Of several names for one place, that is taken which is (in this order) not local; has the
///   fewest leading underscores; is global rather than weak; is the shortest; is the first in the
///   alphabet. So `write` rather than `__write` or `__libc_write`, weak as it is.
class SymbolIndex : public NameSource {
 public:
  /// `code`: where this module has code; other symbols are left out.
  explicit SymbolIndex(CodeRanges code) : code_(std::move(code)) {}

  /// Adds the functions of .symtab and .dynsym; of a file without section headers those of
  /// PT_DYNAMIC's table. PLT stubs become "name@plt". Keeps the file: names point into it.
  void Add(std::shared_ptr<const ElfFile> file);
  void Add(const ElfSymbol& symbol);
  /// Once, when all is added and before the first look-up.
  void Seal();

  /// The symbol that covers `address`.
  [[nodiscard]] std::optional<ElfSymbol> Lookup(std::uint64_t address) const;
  void Find(ElfAddress address, std::vector<NamedLevel>& chain) override;
  [[nodiscard]] bool empty() const { return functions_.empty() && labels_.empty(); }

 private:
  static constexpr std::size_t kMaxSymbols = 4u << 20;

  void AddTable(const ElfFile& file, const SectionHeader& table);
  void AddDynamic(const ElfFile& file);

  CodeRanges code_;
  std::vector<ElfSymbol> symbols_;  // until Seal
  std::vector<std::shared_ptr<const ElfFile>> files_;
  std::vector<std::shared_ptr<const void>> storage_;  // of names that are in no file
  RangeTable<ElfSymbol> functions_;
  RangeTable<ElfSymbol> labels_;
};

}  // namespace agent
