// SPDX-License-Identifier: Apache-2.0
// Where a Go program's tables lie in its file.
#include <gelf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "agent/elf/go_pclntab.h"
#include "agent/elf/relocated_words.h"

namespace agent {
namespace {

constexpr std::uint64_t kMaxTable = 1u << 30;
constexpr std::uint64_t kMaxSegment = 1u << 30;      // searched for a table that nothing names
constexpr std::uint64_t kMaxRelocations = 1u << 28;  // bytes
constexpr std::uint64_t kMaxTrees = 1u << 28;
constexpr std::uint64_t kMaxTree = 1u << 20;  // bytes: 65536 calls inlined into one function
constexpr std::size_t kMaxCandidates = 64;    // places that may be the moduledata
constexpr std::size_t kTreesToCheck = 64;

// Words of runtime.moduledata. It begins with a pointer to the header, then five slices (pointer,
// length, capacity) of which each begins where the header's field says.
constexpr std::size_t kModuleWords = 48;
constexpr std::size_t kFunctionsSlice = 13;
constexpr std::size_t kModuleText = 22;
// gofunc is word 38 in Go 1.18, 40 in 1.20, 43 in 1.27: the first from here on that fits.
constexpr std::size_t kFirstGoFunc = 32;
constexpr std::size_t kOldHeaderFields = 7;

using Module = std::array<std::uint64_t, kModuleWords>;

std::uint64_t Number(ElfAddress address) { return static_cast<std::uint64_t>(address); }

std::uint64_t WordAt(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

bool IsGo(const ElfFile& elf) {
  constexpr std::string_view kOwner("Go\0", 3);  // of four bytes with its own zero
  return elf.FindSection(".go.buildinfo") || elf.FindSection(".note.go.buildid") ||
         elf.FindNote(kOwner, std::nullopt);
}

/// One search. Reads what it needs of the file and leaves nothing behind but the table.
class GoPclntabFinder {
 public:
  explicit GoPclntabFinder(const ElfFile& elf) : elf_(elf) {}

  Result<std::optional<GoPclntab>> Find() {
    std::vector<ElfRange> places;
    for (const char* name : {".gopclntab", ".data.rel.ro.gopclntab"}) {
      const auto section = elf_.FindSection(name);
      if (section && section->address != ElfAddress{}) places.push_back(*section);
    }
    if (places.empty() && !IsGo(elf_)) return std::nullopt;
    relocations_ = RelativeRelocations(elf_, kMaxRelocations);
    if (places.empty()) {
      if (const auto symbol = elf_.FindSymbol("runtime.pclntab")) {
        places.push_back({symbol->address, symbol->size != 0 ? symbol->size : kMaxTable});
      }
    }
    if (places.empty()) places = Scan();
    Error error{.code = Errc::kMalformed, .what = "Go program without a pclntab", .detail = {}};
    for (const ElfRange& place : places) {
      auto table = ReadTable(place);
      if (table) return std::move(*table);
      error = std::move(table.error());
    }
    return std::unexpected(std::move(error));
  }

 private:
  Result<GoPclntab> ReadTable(const ElfRange& place) {
    auto bytes = ReadRelocated(Number(place.address), std::min(place.size, kMaxTable));
    const auto module = FindModule(bytes, Number(place.address));
    ElfAddress text{};
    if (module) {
      text = ElfAddress{(*module)[kModuleText]};
      // Since Go 1.26 the section holds more than the table.
      const std::uint64_t functions = (*module)[kFunctionsSlice] - Number(place.address);
      const std::uint64_t length = (*module)[kFunctionsSlice + 1];
      if (functions < bytes.size() && length <= bytes.size() - functions) {
        bytes.resize(functions + length);
        bytes.shrink_to_fit();
      }
    } else if (const auto symbol = elf_.FindSymbol("runtime.text")) {
      text = symbol->address;
    }
    AGENT_TRY(GoPclntab table, GoPclntab::Parse(std::move(bytes), text));
    AddTrees(table, module);
    return table;
  }

  [[nodiscard]] std::vector<std::byte> ReadRelocated(std::uint64_t address,
                                                     std::uint64_t size) const {
    auto bytes = elf_.ReadLoaded(ElfAddress{address}, size);
    for (const Elf64_Rela& relocation : relocations_) {
      const std::uint64_t offset = relocation.r_offset - address;
      if (offset >= bytes.size() || bytes.size() - offset < sizeof relocation.r_addend) continue;
      std::memcpy(bytes.data() + offset, &relocation.r_addend, sizeof relocation.r_addend);
    }
    return bytes;
  }

  // Every place of a segment that a header may be at.
  [[nodiscard]] std::vector<ElfRange> Scan() const {
    std::vector<ElfRange> places;
    for (const ElfSegment& segment : elf_.load_segments()) {
      const auto bytes = elf_.ReadLoaded(segment.address, std::min(segment.file_size, kMaxSegment));
      const std::uint64_t start = Number(segment.address);
      for (std::size_t i = (8 - start % 8) % 8; i + 8 <= bytes.size(); i += 8) {
        const std::uint64_t word = WordAt(bytes, i);
        const auto magic = static_cast<std::uint32_t>(word);
        const std::uint64_t quantum = (word >> 48) & 0xff;
        if (magic < 0xfffffff0 || ((word >> 32) & 0xffff) != 0 || word >> 56 != 8) continue;
        if (quantum != 1 && quantum != 2 && quantum != 4) continue;
        if (places.size() < kMaxCandidates) places.push_back({ElfAddress{start + i}, kMaxTable});
      }
    }
    return places;
  }

  // The moduledata is what points to the table, and then to its parts.
  [[nodiscard]] std::optional<Module> FindModule(std::span<const std::byte> table,
                                                 std::uint64_t address) const {
    for (const Elf64_Rela& relocation : relocations_) {
      if (static_cast<std::uint64_t>(relocation.r_addend) != address) continue;
      if (const auto module = ReadModule(table, address, relocation.r_offset)) return module;
    }
    for (const char* name : {".go.module", ".noptrdata", ".data", ".data.rel.ro"}) {
      const auto section = elf_.FindSection(name);
      if (!section || section->address == ElfAddress{}) continue;
      if (const auto module = FindModuleIn(table, address, *section)) return module;
    }
    for (const ElfSegment& segment : elf_.load_segments()) {
      if (segment.executable) continue;
      const ElfRange range{segment.address, segment.file_size};
      if (const auto module = FindModuleIn(table, address, range)) return module;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Module> FindModuleIn(std::span<const std::byte> table,
                                                   std::uint64_t address,
                                                   const ElfRange& range) const {
    const auto bytes = elf_.ReadLoaded(range.address, std::min(range.size, kMaxSegment));
    const std::uint64_t start = Number(range.address);
    std::size_t candidates = 0;
    for (std::size_t i = (8 - start % 8) % 8; i + 8 <= bytes.size(); i += 8) {
      if (WordAt(bytes, i) != address) continue;
      if (const auto module = ReadModule(table, address, start + i)) return module;
      if (++candidates == kMaxCandidates) break;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Module> ReadModule(std::span<const std::byte> table,
                                                 std::uint64_t address, std::uint64_t place) const {
    const auto bytes = ReadRelocated(place, kModuleWords * 8);
    constexpr std::size_t kHeader = 8 + 8 * 8;
    if (bytes.size() < kModuleWords * 8 || table.size() < kHeader) return std::nullopt;
    Module module{};
    for (std::size_t i = 0; i < kModuleWords; ++i) module[i] = WordAt(bytes, i * 8);
    std::uint32_t magic = 0;
    std::memcpy(&magic, table.data(), sizeof magic);
    const std::size_t fields = magic == 0xfffffffa ? kOldHeaderFields : kOldHeaderFields + 1;
    for (std::size_t part = 0; part < 5; ++part) {
      const std::uint64_t offset = WordAt(table, 8 + 8 * (fields - 5 + part));
      if (module[1 + 3 * part] != address + offset) return std::nullopt;
    }
    return module;
  }

  // Tries what may be gofunc, and keeps the one from which the inline trees make sense.
  void AddTrees(GoPclntab& table, const std::optional<Module>& module) const {
    std::vector<std::uint64_t> candidates;
    if (table.version_ == GoPclntab::Version::k116) {
      candidates.push_back(0);  // its inline trees have addresses
    } else if (module) {
      candidates.assign(module->begin() + kFirstGoFunc, module->end());
    } else {
      for (const char* name : {"go:func.*", "go.func.*"}) {
        if (const auto symbol = elf_.FindSymbol(name))
          candidates.push_back(Number(symbol->address));
      }
    }
    for (const std::uint64_t candidate : candidates) {
      if (candidate == 0 && table.version_ != GoPclntab::Version::k116) continue;
      table.go_func_ = candidate;
      if (TreesMakeSense(table)) return ReadTrees(table);
    }
  }

  // All trees, as they lie between the first and the last.
  void ReadTrees(GoPclntab& table) const {
    std::uint64_t first = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < table.function_count(); ++i) {
      const auto function = table.FunctionAt(i);
      const auto tree = function ? table.InlineTree(*function) : std::nullopt;
      if (!tree) continue;
      first = std::min(first, *tree);
      last = std::max(last, *tree);
    }
    if (first > last || last - first > kMaxTrees) return;
    table.trees_ = elf_.ReadLoaded(ElfAddress{first}, last - first + kMaxTree);
    table.trees_address_ = first;
  }

  [[nodiscard]] bool TreesMakeSense(const GoPclntab& table) const {
    std::size_t checked = 0;
    for (std::size_t i = 0; i < table.function_count() && checked < kTreesToCheck; ++i) {
      const auto function = table.FunctionAt(i);
      const auto tree = function ? table.InlineTree(*function) : std::nullopt;
      if (!tree) continue;
      const auto call = elf_.ReadLoaded(ElfAddress{*tree}, GoPclntab::kMaxInlinedCall);
      if (!table.MakesSense(*function, call)) return false;
      ++checked;
    }
    return checked != 0;
  }

  const ElfFile& elf_;
  std::vector<Elf64_Rela> relocations_;
};

Result<std::optional<GoPclntab>> GoPclntab::Find(const ElfFile& elf) {
  return GoPclntabFinder(elf).Find();
}

}  // namespace agent
