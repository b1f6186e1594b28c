// SPDX-License-Identifier: Apache-2.0
#include "agent/elf/elf_file.h"

#include <elf.h>

#include <algorithm>

#include "tests/fuzz/target.h"

using namespace agent;

AGENT_FUZZ_TARGET(elf_file) {
  const auto elf = ElfFile::OpenBytes(fuzz::ShareBytes(input));
  if (!elf) return;
  (void)elf->BuildId();
  (void)elf->FindSymbol("f");
  (void)elf->FindSymbol("no such symbol");
  for (const char* name : {".text", ".debug_info", ".note.gnu.build-id", ".dynsym", "none"}) {
    (void)elf->FindSection(name);
    const auto section = elf->ReadSection(name);
    // Reads all of it: AddressSanitizer sees where there is less than was said.
    std::size_t sum = 0;
    if (section) {
      for (const std::byte byte : section->bytes) sum += static_cast<std::size_t>(byte);
    }
    if (sum == 1) (void)elf->machine();
  }
  for (const std::uint32_t type : {PT_NOTE, PT_DYNAMIC, PT_GNU_EH_FRAME}) {
    (void)elf->FindSegment(type);
  }
  constexpr std::size_t kMostSegments = 64;
  for (std::size_t i = 0; i < std::min(elf->load_segments().size(), kMostSegments); ++i) {
    const ElfSegment& segment = elf->load_segments()[i];
    (void)elf->CodeAddressOf(segment.offset);
    (void)elf->ReadLoaded(segment.address, 1u << 20);
    const std::uint64_t last = static_cast<std::uint64_t>(segment.address) + segment.file_size - 1;
    (void)elf->ReadLoaded(ElfAddress{last}, 16);
  }
}
