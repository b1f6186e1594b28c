// SPDX-License-Identifier: Apache-2.0
// An ELF file: segments, sections and symbols, decoded by libelf.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"

struct Elf;  // libelf's handle

namespace agent {

/// A PT_LOAD segment.
struct ElfSegment {
  FileOffset offset{};
  ElfAddress address{};
  std::uint64_t file_size = 0;
};

struct ElfRange {
  ElfAddress address{};
  std::uint64_t size = 0;
};

/// Reads by pread, never by mmap: the file may change or shrink meanwhile. One thread at a time.
class ElfFile {
 public:
  /// kMalformed when it is not a 64-bit ELF file.
  static Result<ElfFile> Open(UniqueFd file);

  /// A defined symbol with just this name, from .dynsym, else from .symtab.
  [[nodiscard]] std::optional<ElfRange> FindSymbol(std::string_view name) const;
  [[nodiscard]] std::optional<ElfRange> FindSection(std::string_view name) const;
  [[nodiscard]] const std::vector<ElfSegment>& load_segments() const { return load_segments_; }

  /// Where the byte at `offset` of the file has its address, or nothing when no segment loads it.
  [[nodiscard]] std::optional<ElfAddress> AddressOf(FileOffset offset) const;

 private:
  struct ElfEnd {
    void operator()(Elf* elf) const;
  };
  ElfFile(UniqueFd file, std::unique_ptr<Elf, ElfEnd> elf);

  UniqueFd file_;
  std::unique_ptr<Elf, ElfEnd> elf_;
  std::vector<ElfSegment> load_segments_;
};

}  // namespace agent
