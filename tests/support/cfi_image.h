// SPDX-License-Identifier: Apache-2.0
// ELF files of call frame information made by hand, for the architecture that the tests run on.
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "agent/process/registers.h"
#include "tests/support/elf_header.h"

namespace agent::testing {

using CfiProgram = std::vector<std::uint8_t>;

/// What one function's entry says: `program` is of DW_CFA_*, alignment factors 1 and -8.
struct CfiFunction {
  std::uint64_t start = 0;
  std::uint64_t size = 0;
  CfiProgram program;
};

template <typename T>
void Append(std::vector<std::byte>& bytes, T value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof(T));
}

/// A file of one segment at address 0: headers, .eh_frame_hdr, .eh_frame, and code up to `size`.
/// Functions are in order. The common program says that the caller's stack pointer is at
/// sp + 16; on x86-64 that the return address is below.
inline std::shared_ptr<const std::vector<std::byte>> MakeCfiImage(
    std::uint64_t size, const std::vector<CfiFunction>& functions, bool is_signal = false) {
  constexpr std::size_t kHeader = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
  const std::size_t table = 12 + 8 * functions.size();
  const std::size_t frame = kHeader + table;
  std::vector<std::byte> eh_frame;
  const auto close = [&](std::size_t start) {
    while ((eh_frame.size() - start) % 8 != 4) Append(eh_frame, std::uint8_t{0});
    const auto length = static_cast<std::uint32_t>(eh_frame.size() - start);
    std::memcpy(eh_frame.data() + start - 4, &length, sizeof(length));
  };
  // The common entry.
  CfiProgram common = {0x0c, RegisterNumbers::kSp, 16};
  if (kCallPushes) common.insert(common.end(), {0x80 | RegisterNumbers::kReturnColumn, 1});
  Append(eh_frame, std::uint32_t{0});
  Append(eh_frame, std::uint32_t{0});
  const CfiProgram head =
      is_signal ? CfiProgram{1, 'z', 'R', 'S', 0, 1, 0x78, RegisterNumbers::kReturnColumn, 1, 0x1b}
                : CfiProgram{1, 'z', 'R', 0, 1, 0x78, RegisterNumbers::kReturnColumn, 1, 0x1b};
  for (const std::uint8_t byte : head) Append(eh_frame, byte);
  for (const std::uint8_t byte : common) Append(eh_frame, byte);
  close(4);
  std::vector<std::int32_t> entries;
  for (const CfiFunction& function : functions) {
    entries.push_back(static_cast<std::int32_t>(frame + eh_frame.size()));
    Append(eh_frame, std::uint32_t{0});
    const std::size_t start = eh_frame.size();
    Append(eh_frame, static_cast<std::uint32_t>(start));
    const std::uint64_t place = frame + eh_frame.size();
    Append(eh_frame, static_cast<std::int32_t>(function.start - place));
    Append(eh_frame, static_cast<std::int32_t>(function.size));
    Append(eh_frame, std::uint8_t{0});
    for (const std::uint8_t byte : function.program) Append(eh_frame, byte);
    close(start);
  }
  Append(eh_frame, std::uint32_t{0});

  const Elf64_Ehdr header = ElfHeader(ET_DYN, kCallPushes ? EM_X86_64 : EM_AARCH64, 2);
  Elf64_Phdr load{};
  load.p_type = PT_LOAD;
  load.p_flags = PF_R | PF_X;
  load.p_filesz = size;
  load.p_memsz = size;
  load.p_align = 4096;
  Elf64_Phdr frame_header{};
  frame_header.p_type = PT_GNU_EH_FRAME;
  frame_header.p_flags = PF_R;
  frame_header.p_offset = kHeader;
  frame_header.p_vaddr = kHeader;
  frame_header.p_filesz = table;
  frame_header.p_memsz = table;

  std::vector<std::byte> bytes;
  Append(bytes, header);
  Append(bytes, load);
  Append(bytes, frame_header);
  for (const int byte : {1, 0x1b, 0x03, 0x3b}) Append(bytes, static_cast<std::uint8_t>(byte));
  Append(bytes, static_cast<std::int32_t>(frame - kHeader - 4));
  Append(bytes, static_cast<std::uint32_t>(functions.size()));
  for (std::size_t i = 0; i < functions.size(); ++i) {
    Append(bytes, static_cast<std::int32_t>(functions[i].start - kHeader));
    Append(bytes, entries[i] - static_cast<std::int32_t>(kHeader));
  }
  bytes.insert(bytes.end(), eh_frame.begin(), eh_frame.end());
  bytes.resize(size);
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

}  // namespace agent::testing
