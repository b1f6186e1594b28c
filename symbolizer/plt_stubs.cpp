// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/plt_stubs.h"

#include <gelf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <unordered_map>

namespace agent {
namespace {

constexpr std::size_t kMaxStubs = 1u << 20;
constexpr std::uint64_t kStubSize = 16;
constexpr std::uint64_t kAarch64Header = 32;
constexpr std::size_t kMaxName = 16u << 10;

// What the relocations say: the names of the table's entries, in order, and of all GOT slots.
struct Slots {
  std::vector<std::string> by_index;
  std::unordered_map<std::uint64_t, std::string> by_address;
};

std::string SymbolName(const ElfFile& file, std::uint32_t table, std::uint64_t index) {
  Elf_Scn* section = ::elf_getscn(file.handle(), table);
  GElf_Shdr header;
  if (section == nullptr || ::gelf_getshdr(section, &header) == nullptr) return {};
  Elf_Data* data = ::elf_getdata(section, nullptr);
  GElf_Sym symbol;
  if (data == nullptr || index > 0x7fffffff ||
      ::gelf_getsym(data, static_cast<int>(index), &symbol) == nullptr) {
    return {};
  }
  return std::string(ElfString(file.handle(), header.sh_link, symbol.st_name, kMaxName));
}

void ReadRelocations(const ElfFile& file, const SectionHeader& table, bool keep_order,
                     Slots& slots) {
  Elf_Data* data = ::elf_getdata(::elf_getscn(file.handle(), table.index), nullptr);
  if (data == nullptr || table.entry_size == 0) return;
  const std::size_t count = std::min<std::size_t>(data->d_size / table.entry_size, kMaxStubs);
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Rela relocation;
    if (::gelf_getrela(data, static_cast<int>(i), &relocation) == nullptr) return;
    const std::uint64_t symbol = GELF_R_SYM(relocation.r_info);
    // .rela.dyn is long, and mostly relative.
    if (symbol == 0 && !keep_order) continue;
    std::string name = symbol != 0 ? SymbolName(file, table.link, symbol) : std::string();
    if (keep_order) slots.by_index.push_back(name);
    if (!name.empty()) slots.by_address.emplace(relocation.r_offset, std::move(name));
  }
}

std::int32_t Word(std::span<const std::byte> bytes, std::size_t place) {
  std::int32_t value = 0;
  std::memcpy(&value, bytes.data() + place, sizeof(value));
  return value;
}

bool IsAt(std::span<const std::byte> bytes, std::size_t place, std::uint8_t first,
          std::uint8_t second) {
  return bytes[place] == std::byte{first} && bytes[place + 1] == std::byte{second};
}

// The function that an x86-64 stub leads to: `jmp *slot(%rip)`, perhaps behind endbr64 and a bnd
// prefix; else `push number` behind endbr64, where the jump is in .plt.sec.
std::string X86StubName(std::span<const std::byte> stub, std::uint64_t address,
                        const Slots& slots) {
  for (std::size_t i = 0; i + 6 <= stub.size() && i <= 5; ++i) {
    if (!IsAt(stub, i, 0xff, 0x25)) continue;
    const auto offset = static_cast<std::uint64_t>(std::int64_t{Word(stub, i + 2)});
    const auto found = slots.by_address.find(address + i + 6 + offset);
    return found != slots.by_address.end() ? found->second : std::string();
  }
  constexpr std::size_t kEndbr = 4;
  if (stub.size() < kEndbr + 5 || !IsAt(stub, 0, 0xf3, 0x0f) || stub[kEndbr] != std::byte{0x68}) {
    return {};
  }
  const std::int32_t number = Word(stub, kEndbr + 1);
  if (number < 0 || static_cast<std::size_t>(number) >= slots.by_index.size()) return {};
  return slots.by_index[static_cast<std::size_t>(number)];
}

void AddX86Stubs(const ElfSection& section, std::uint64_t stub_size, const Slots& slots,
                 std::vector<PltStub>& stubs) {
  for (std::size_t place = 0; place + stub_size <= section.bytes.size(); place += stub_size) {
    if (stubs.size() >= kMaxStubs) return;
    const std::uint64_t address = static_cast<std::uint64_t>(section.address) + place;
    const std::string name = X86StubName(section.bytes.subspan(place, stub_size), address, slots);
    if (!name.empty()) {
      stubs.push_back({.address = address, .size = stub_size, .name = name + "@plt"});
    }
  }
}

void AddAarch64Stubs(const SectionHeader& plt, const Slots& slots, std::vector<PltStub>& stubs) {
  // Stubs with branch protection are longer; then their number does not fit.
  if (plt.size != kAarch64Header + slots.by_index.size() * kStubSize) return;
  for (std::size_t i = 0; i < slots.by_index.size(); ++i) {
    if (slots.by_index[i].empty()) continue;
    stubs.push_back({.address = plt.address + kAarch64Header + i * kStubSize,
                     .size = kStubSize,
                     .name = slots.by_index[i] + "@plt"});
  }
}

}  // namespace

std::vector<PltStub> ReadPltStubs(const ElfFile& file, const std::vector<SectionHeader>& headers) {
  std::vector<PltStub> stubs;
  Slots slots;
  if (FindSectionHeader(headers, ".plt") == nullptr &&
      FindSectionHeader(headers, ".plt.got") == nullptr) {
    return stubs;
  }
  for (const char* name : {".rela.plt", ".rela.dyn"}) {
    const SectionHeader* table = FindSectionHeader(headers, name);
    if (table == nullptr || table->type != SHT_RELA) continue;
    ReadRelocations(file, *table, std::string_view(name) == ".rela.plt", slots);
  }
  for (const char* name : {".plt", ".plt.sec", ".plt.got"}) {
    const SectionHeader* header = FindSectionHeader(headers, name);
    if (header == nullptr) continue;
    if (file.machine() == EM_AARCH64) {
      if (std::string_view(name) == ".plt") AddAarch64Stubs(*header, slots, stubs);
      continue;
    }
    const auto section = file.machine() == EM_X86_64 ? file.ReadSection(name) : std::nullopt;
    if (section) AddX86Stubs(*section, header->entry_size == 8 ? 8 : kStubSize, slots, stubs);
  }
  return stubs;
}

}  // namespace agent
