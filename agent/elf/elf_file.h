// SPDX-License-Identifier: Apache-2.0
// An ELF file: segments, sections and symbols, decoded by libelf.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"

struct Elf;  // libelf's handle

namespace agent {

/// A program header.
struct ElfSegment {
  FileOffset offset{};
  ElfAddress address{};
  std::uint64_t file_size = 0;
  std::uint64_t memory_size = 0;
  bool executable = false;
};

/// Where the byte at `offset` of the file has its address as code, or nothing when no executable
/// segment loads it. (A page may be loaded twice, by two segments that meet in it.)
[[nodiscard]] std::optional<ElfAddress> CodeAddressOf(std::span<const ElfSegment> segments,
                                                      FileOffset offset);

/// One of PT_DYNAMIC.
struct ElfDynamicEntry {
  std::int64_t tag = 0;  ///< DT_SYMTAB, ...
  std::uint64_t value = 0;
};

/// The content of a section.
struct ElfSection {
  ElfAddress address{};              ///< 0 when it is not loaded.
  std::span<const std::byte> bytes;  ///< Decompressed. Lives as long as the ElfFile.
};

struct ElfRange {
  ElfAddress address{};
  std::uint64_t size = 0;
  [[nodiscard]] bool Contains(ElfAddress one) const {
    return static_cast<std::uint64_t>(one) - static_cast<std::uint64_t>(address) < size;
  }
};

/// The string at `offset` of section `section`, cut at `max` bytes; empty when there is none. Takes
/// time for these bytes only (elf_strptr looks for the table's last zero). Lives as long as `elf`.
[[nodiscard]] std::string_view ElfString(Elf* elf, std::size_t section, std::size_t offset,
                                         std::size_t max);

/// Reads by pread, never by mmap: the file may change or shrink meanwhile. One thread at a time.
class ElfFile {
 public:
  /// kMalformed when it is not a 64-bit ELF file.
  static Result<ElfFile> Open(UniqueFd file);
  /// A file's bytes, as far as they are there: sections may be missing (an image taken from a
  /// process's memory has what its segments load).
  static Result<ElfFile> OpenBytes(std::shared_ptr<const std::vector<std::byte>> bytes);

  /// A defined symbol with just this name, from .dynsym, else from .symtab.
  [[nodiscard]] std::optional<ElfRange> FindSymbol(std::string_view name) const;
  /// Calls `visit` for each defined function of .symtab or, where there is none, .dynsym.
  void VisitFunctions(
      const std::function<void(std::string_view name, const ElfRange& range)>& visit) const;
  [[nodiscard]] std::optional<ElfRange> FindSection(std::string_view name) const;
  [[nodiscard]] const std::vector<ElfSegment>& load_segments() const { return load_segments_; }
  /// A section's content; nothing when there is none of this name, or it cannot be read (a
  /// compressed one of more than 1 GiB counts as that).
  [[nodiscard]] std::optional<ElfSection> ReadSection(std::string_view name) const;
  /// The first program header of a type (PT_GNU_EH_FRAME, PT_DYNAMIC, ...).
  [[nodiscard]] std::optional<ElfSegment> FindSegment(std::uint32_t type) const;
  /// What is loaded at `address`, up to `size` bytes, as far as the segment's file content goes.
  [[nodiscard]] std::vector<std::byte> ReadLoaded(ElfAddress address, std::size_t size) const;
  /// The content of the first note of an owner ("GNU", "Go") and, if asked for, of a type; lives as
  /// long as this.
  [[nodiscard]] std::optional<std::span<const std::byte>> FindNote(
      std::string_view owner, std::optional<std::uint32_t> type) const;
  /// The dynamic linker's entries, without the one that ends them.
  [[nodiscard]] std::vector<ElfDynamicEntry> ReadDynamic() const;
  /// The GNU build id, lower-case hex; "" when there is none.
  [[nodiscard]] std::string BuildId() const;
  [[nodiscard]] std::uint16_t machine() const { return machine_; }  ///< EM_X86_64, ...
  [[nodiscard]] ElfAddress entry() const { return entry_; }         ///< e_entry
  /// libelf's own handle, for libdw; owned by this object.
  [[nodiscard]] Elf* handle() const { return elf_.get(); }

  /// As above, by the load segments.
  [[nodiscard]] std::optional<ElfAddress> CodeAddressOf(FileOffset offset) const {
    return agent::CodeAddressOf(load_segments_, offset);
  }

 private:
  struct ElfEnd {
    void operator()(Elf* elf) const;
  };
  ElfFile(UniqueFd file, std::shared_ptr<const std::vector<std::byte>> bytes,
          std::unique_ptr<Elf, ElfEnd> elf);
  static Result<ElfFile> Make(UniqueFd file, std::shared_ptr<const std::vector<std::byte>> bytes,
                              std::unique_ptr<Elf, ElfEnd> elf);

  UniqueFd file_;
  std::shared_ptr<const std::vector<std::byte>> bytes_;
  std::unique_ptr<Elf, ElfEnd> elf_;
  std::uint16_t machine_ = 0;
  ElfAddress entry_{};
  std::vector<ElfSegment> load_segments_;
};

/// Where an ELF file's bytes are, so that each thread that needs them can open its own ElfFile.
class ElfSource {
 public:
  explicit ElfSource(UniqueFd file) : file_(std::move(file)) {}
  explicit ElfSource(std::shared_ptr<const std::vector<std::byte>> bytes)
      : bytes_(std::move(bytes)) {}
  [[nodiscard]] Result<ElfFile> Open() const;

 private:
  UniqueFd file_;
  std::shared_ptr<const std::vector<std::byte>> bytes_;
};

}  // namespace agent
