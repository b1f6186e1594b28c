// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/code_scan.h"

#include <elf.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/byte_reader.h"
#include "spies/unwind/code_flow.h"
#include "spies/unwind/code_pieces.h"

namespace agent::unwind {
namespace {

// Padding between functions is shorter.
constexpr std::uint64_t kShortestPiece = 16;
constexpr std::uint64_t kMaxScannedCode = 8u << 20;

using Range = std::pair<std::uint64_t, std::uint64_t>;

// Executable, and without a rule.
std::vector<Range> Undescribed(const ElfFile& elf, const UnwindTable& described) {
  const auto init = elf.FindSection(".init");
  const auto fini = elf.FindSection(".fini");
  const auto has_start_of = [](const Range& part, const std::optional<ElfRange>& section) {
    return section &&
           static_cast<std::uint64_t>(section->address) - part.first < part.second - part.first;
  };
  std::vector<Range> gaps;
  std::uint64_t begin = 0;
  for (std::size_t i = 0; i < described.rows(); ++i) {
    const auto start = static_cast<std::uint64_t>(described.RowStart(i));
    if (described.RowRule(i).cfa == CfaKind::kNone) {
      begin = start;
    } else {
      if (begin < start) gaps.emplace_back(begin, start);
      begin = std::numeric_limits<std::uint64_t>::max();
    }
  }
  // Behind the last row there may be more, also where that row has a rule (it has none then: every
  // entry ends with a row of its own).
  gaps.emplace_back(begin, std::numeric_limits<std::uint64_t>::max());
  std::vector<Range> ranges;
  for (const ElfSegment& segment : elf.load_segments()) {
    if (!segment.executable) continue;
    const auto low = static_cast<std::uint64_t>(segment.address);
    const std::uint64_t high = low + segment.file_size;
    for (const auto& [from, to] : gaps) {
      const Range part{std::max(from, low), std::min(to, high)};
      if (part.first >= part.second) continue;
      const bool is_short = part.second - part.first < kShortestPiece;
      if (!is_short || has_start_of(part, init) || has_start_of(part, fini)) {
        ranges.push_back(part);
      }
    }
  }
  std::ranges::sort(ranges);
  return ranges;
}

// gcc's name for what it moved out of a function: jumps lead there, not calls.
bool IsPartOfFunction(std::span<const std::byte> names, std::uint32_t offset) {
  constexpr std::size_t kLongestName = 4096;
  if (offset >= names.size()) return false;
  const auto rest = names.subspan(offset, std::min(names.size() - offset, kLongestName));
  const std::string_view text(reinterpret_cast<const char*>(rest.data()), rest.size());
  return text.substr(0, text.find('\0')).find(".cold") != std::string_view::npos;
}

void EnterSymbols(const ElfFile& elf, const char* section, const char* name_section,
                  CodeFlow& flow) {
  const auto symbols = elf.ReadSection(section);
  if (!symbols) return;
  const auto names = elf.ReadSection(name_section);
  ByteReader reader(symbols->bytes);
  while (reader.left() >= sizeof(Elf64_Sym)) {
    const auto symbol = reader.Read<Elf64_Sym>();
    const std::uint8_t type = ELF64_ST_TYPE(symbol.st_info);
    if ((type == STT_FUNC || type == STT_GNU_IFUNC) && symbol.st_shndx != SHN_UNDEF &&
        !(names && IsPartOfFunction(names->bytes, symbol.st_name))) {
      flow.Enter(symbol.st_value);
    }
  }
}

}  // namespace

UnwindTable ScanCode(const ElfFile& elf, const UnwindTable& described) {
  const std::vector<Range> ranges = Undescribed(elf, described);
  std::uint64_t size = 0;
  for (const auto& [from, to] : ranges) size += to - from;
  if (size == 0 || size > kMaxScannedCode) return {};
  std::vector<CodePiece> pieces;
  pieces.reserve(ranges.size());
  for (const auto& [from, to] : ranges) {
    pieces.emplace_back(from, elf.ReadLoaded(ElfAddress{from}, to - from));
  }
  CodeFlow flow(CodePieces(std::move(pieces)), static_cast<std::uint64_t>(elf.entry()));
  EnterSymbols(elf, ".symtab", ".strtab", flow);
  EnterSymbols(elf, ".dynsym", ".dynstr", flow);
  flow.Run();
  return UnwindTable::FromRows(flow.Rows());
}

}  // namespace agent::unwind
