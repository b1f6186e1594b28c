// SPDX-License-Identifier: Apache-2.0
#include "agent/elf/relocated_words.h"

#include <algorithm>

#include "agent/base/byte_reader.h"

namespace agent {
namespace {

constexpr std::size_t kMaxRelocations = 16u << 20;  // bytes; libpython has 0.5 MB

}  // namespace

std::vector<Elf64_Rela> RelativeRelocations(const ElfFile& file, std::uint64_t most_bytes) {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  for (const ElfDynamicEntry& entry : file.ReadDynamic()) {
    if (entry.tag == DT_RELA) address = entry.value;
    if (entry.tag == DT_RELASZ) size = entry.value;
  }
  if (address == 0 || size > most_bytes) return {};
  const std::vector<std::byte> bytes = file.ReadLoaded(ElfAddress{address}, size);
  const std::uint32_t relative =
      file.machine() == EM_AARCH64 ? R_AARCH64_RELATIVE : R_X86_64_RELATIVE;
  std::vector<Elf64_Rela> found;
  ByteReader reader(bytes);
  while (reader.left() >= sizeof(Elf64_Rela)) {
    const auto one = reader.Read<Elf64_Rela>();
    if (ELF64_R_TYPE(one.r_info) == relative) found.push_back(one);
  }
  return found;
}

RelocatedWords::RelocatedWords(const ElfFile& file) : file_(file) {
  for (const Elf64_Rela& one : RelativeRelocations(file, kMaxRelocations)) {
    addends_.emplace_back(one.r_offset, static_cast<std::uint64_t>(one.r_addend));
  }
  std::ranges::sort(addends_);
}

std::vector<std::uint64_t> RelocatedWords::Read(ElfAddress address, std::size_t count) const {
  const std::vector<std::byte> bytes = file_.ReadLoaded(address, count * sizeof(std::uint64_t));
  std::vector<std::uint64_t> words;
  ByteReader reader(bytes);
  if (reader.left() < count * sizeof(std::uint64_t)) return words;
  auto place = static_cast<std::uint64_t>(address);
  auto next =
      std::ranges::lower_bound(addends_, place, {}, [](const auto& one) { return one.first; });
  for (std::size_t i = 0; i < count; ++i, place += sizeof(std::uint64_t)) {
    words.push_back(reader.Read<std::uint64_t>());
    while (next != addends_.end() && next->first < place) ++next;
    if (next != addends_.end() && next->first == place) words.back() = next->second;
  }
  return words;
}

}  // namespace agent
