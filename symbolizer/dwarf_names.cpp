// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/dwarf_names.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "agent/base/byte_reader.h"
#include "agent/base/hex.h"
#include "symbolizer/dwarf_unit.h"
#include "symbolizer/range_table.h"

namespace agent {
namespace {

// libdw keeps all debug sections in memory.
constexpr std::uint64_t kMaxDebugBytes = std::uint64_t{2} << 30;
constexpr std::size_t kMaxUnits = 1u << 20;
constexpr std::size_t kMaxRanges = 32u << 20;  // of all units: they may all name one long list
constexpr std::size_t kMaxBuildId = 64;

struct DwarfEnd {
  void operator()(Dwarf* dwarf) const { ::dwarf_end(dwarf); }
};
using DwarfHandle = std::unique_ptr<Dwarf, DwarfEnd>;

bool IsFileOrNothing(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode);
}

std::string TextOf(Dwarf_Die& die, std::initializer_list<unsigned int> attributes) {
  for (const unsigned int attribute : attributes) {
    Dwarf_Attribute value;
    if (::dwarf_attr(&die, attribute, &value) == nullptr) continue;
    const char* text = ::dwarf_formstring(&value);
    if (text != nullptr) return text;
  }
  return {};
}

// libdw opens the .dwo of a unit by itself, as the unit names it: in the file's folder, else in the
// folder of the compilation. It must not meet a FIFO there.
bool SplitFileIsSafe(Dwarf_Die& unit, const std::string& folder) {
  const std::string name = TextOf(unit, {DW_AT_dwo_name, DW_AT_GNU_dwo_name});
  const std::string compiled_in = TextOf(unit, {DW_AT_comp_dir});
  const auto below = [](const std::string& parent, const std::string& path) {
    return path.starts_with('/') ? path : parent + "/" + path;
  };
  return IsFileOrNothing(below(folder, name)) &&
         IsFileOrNothing(below(below(folder, compiled_in), name));
}

bool DebugSectionsFit(const std::vector<SectionHeader>& headers) {
  std::uint64_t total = 0;
  for (const SectionHeader& header : headers) {
    if (!header.name.starts_with(".debug_") && !header.name.starts_with(".zdebug_")) continue;
    if (header.expanded_size > kMaxDebugBytes) return false;
    total += header.expanded_size;
    if (total > kMaxDebugBytes) return false;
  }
  return true;
}

}  // namespace

std::optional<AltLink> ReadAltLink(const ElfFile& file) {
  const auto section = file.ReadSection(".gnu_debugaltlink");
  if (!section) return std::nullopt;
  ByteReader reader(section->bytes);
  const std::string_view path = reader.ReadString();
  const auto build_id = reader.Take(reader.left());
  if (!reader.ok() || path.empty() || build_id.size() > kMaxBuildId) return std::nullopt;
  return AltLink{.path = std::string(path), .build_id = ToHex(build_id)};
}

bool HasDwarf(const ElfFile& file) {
  const std::vector<SectionHeader> headers = ReadSectionHeaders(file);
  return (FindSectionHeader(headers, ".debug_info") != nullptr ||
          FindSectionHeader(headers, ".zdebug_info") != nullptr) &&
         DebugSectionsFit(headers);
}

class DwarfNames::Impl {
 public:
  Impl(std::shared_ptr<const ElfFile> file, std::shared_ptr<const ElfFile> alt, CodeRanges code,
       std::optional<std::string> split_folder)
      : file_(std::move(file)),
        alt_file_(std::move(alt)),
        code_(std::move(code)),
        split_folder_(std::move(split_folder)) {}

  bool Load() {
    if (!HasDwarf(*file_)) return false;
    const bool needs_alt = ReadAltLink(*file_).has_value();
    if (needs_alt) {
      // Left to itself libdw would look for the file, in our root, not in the target's.
      // It may have no more than strings.
      if (!alt_file_ || !DebugSectionsFit(ReadSectionHeaders(*alt_file_))) return false;
      alt_.reset(::dwarf_begin_elf(alt_file_->handle(), DWARF_C_READ, nullptr));
      if (!alt_) return false;
    }
    dwarf_.reset(::dwarf_begin_elf(file_->handle(), DWARF_C_READ, nullptr));
    if (!dwarf_) return false;
    if (alt_) ::dwarf_setalt(dwarf_.get(), alt_.get());
    IndexUnits();
    return !table_.empty();
  }

  void Find(std::uint64_t address, std::vector<NamedLevel>& chain) {
    // Several units may claim one function: for the copies of an inline function that it has left
    // out, GNU ld writes the address of the one that it has kept, the first.
    std::vector<std::size_t> units;
    (void)table_.Find(address, [&units](const RangeTable<std::size_t>::Entry& entry) {
      units.push_back(entry.value);
      return false;
    });
    std::ranges::sort(units);
    for (const std::size_t index : units) {
      std::vector<NamedLevel> levels;
      if (!UnitAt(index).Find(address, levels)) continue;
      const bool named = !levels.back().name.empty();
      // Another unit may know the function where this one knows no more than a line.
      if (named || chain.empty()) chain = std::move(levels);
      if (named) return;
    }
  }

 private:
  struct Unit {
    Dwarf_CU* handle;
    std::unique_ptr<DwarfUnit> names;  // null until it is asked for
  };

  void IndexUnits() {
    std::unordered_map<Dwarf_Off, std::size_t> without_ranges;
    Dwarf_CU* handle = nullptr;
    std::uint8_t type = 0;
    Dwarf_Die die;
    while (units_.size() < kMaxUnits &&
           ::dwarf_get_units(dwarf_.get(), handle, &handle, nullptr, &type, &die, nullptr) == 0) {
      if (type != DW_UT_compile && type != DW_UT_skeleton) continue;
      const std::size_t index = units_.size();
      units_.push_back({.handle = handle, .names = nullptr});
      if (!AddRanges(die, index)) without_ranges.emplace(::dwarf_dieoffset(&die), index);
    }
    if (!without_ranges.empty()) AddFromAranges(without_ranges);
    table_.Seal();
  }

  bool AddRanges(Dwarf_Die& die, std::size_t index) {
    std::ptrdiff_t offset = 0;
    Dwarf_Addr base = 0;
    Dwarf_Addr low = 0;
    Dwarf_Addr high = 0;
    bool any = false;
    for (; ranges_left_ > 0; --ranges_left_) {
      offset = ::dwarf_ranges(&die, offset, &base, &low, &high);
      if (offset <= 0) break;
      any = true;
      if (code_.Contains(low)) table_.Add(low, high, index);
    }
    return any;
  }

  // .debug_aranges, for units that do not say themselves where their code is.
  void AddFromAranges(const std::unordered_map<Dwarf_Off, std::size_t>& units) {
    Dwarf_Aranges* ranges = nullptr;
    std::size_t count = 0;
    if (::dwarf_getaranges(dwarf_.get(), &ranges, &count) != 0) return;
    for (std::size_t i = 0; i < count; ++i) {
      Dwarf_Addr low = 0;
      Dwarf_Word size = 0;
      Dwarf_Off offset = 0;
      if (::dwarf_getarangeinfo(::dwarf_onearange(ranges, i), &low, &size, &offset) != 0) continue;
      const auto unit = units.find(offset);
      if (unit != units.end() && code_.Contains(low)) table_.Add(low, low + size, unit->second);
    }
  }

  DwarfUnit& UnitAt(std::size_t index) {
    Unit& unit = units_[index];
    if (!unit.names) {
      Dwarf_Die die;
      const bool may_split = split_folder_ &&
                             ::dwarf_cu_die(unit.handle, &die, nullptr, nullptr, nullptr, nullptr,
                                            nullptr, nullptr) != nullptr &&
                             SplitFileIsSafe(die, *split_folder_);
      unit.names = std::make_unique<DwarfUnit>(unit.handle, code_, may_split);
    }
    return *unit.names;
  }

  // In the order of their ends: units use dwarf_, which uses alt_, which use the files.
  std::shared_ptr<const ElfFile> file_;
  std::shared_ptr<const ElfFile> alt_file_;
  CodeRanges code_;
  std::optional<std::string> split_folder_;
  DwarfHandle alt_;
  DwarfHandle dwarf_;
  std::vector<Unit> units_;
  RangeTable<std::size_t> table_;
  std::size_t ranges_left_ = kMaxRanges;
};

DwarfNames::DwarfNames(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DwarfNames::~DwarfNames() = default;

std::unique_ptr<DwarfNames> DwarfNames::Open(std::shared_ptr<const ElfFile> file,
                                             std::shared_ptr<const ElfFile> alt, CodeRanges code,
                                             std::optional<std::string> split_folder) {
  auto impl = std::make_unique<Impl>(std::move(file), std::move(alt), std::move(code),
                                     std::move(split_folder));
  if (!impl->Load()) return nullptr;
  return std::unique_ptr<DwarfNames>(new DwarfNames(std::move(impl)));
}

void DwarfNames::Find(ElfAddress address, std::vector<NamedLevel>& chain) {
  impl_->Find(static_cast<std::uint64_t>(address), chain);
}

}  // namespace agent
