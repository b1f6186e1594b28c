// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/pdb_link.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/base/byte_reader.h"

namespace agent::dotnet {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHeadBytes = 2 * kPage;  // headers are shorter than a page
constexpr int kMaxCandidates = 16;
constexpr std::string_view kDosMagic = "MZ";
constexpr std::uint32_t kPeMagic = 0x4550;
constexpr std::uint16_t kPe32Plus = 0x20b;
constexpr std::size_t kDebugDirectory = 6;
constexpr std::size_t kCliHeader = 14;
constexpr std::size_t kMaxSections = 96;
constexpr std::size_t kMaxEntries = 32;
constexpr std::uint32_t kCodeView = 2;
constexpr std::uint32_t kEmbeddedPdb = 17;
constexpr std::uint32_t kRsds = 0x53445352;

// IMAGE_DATA_DIRECTORY
struct Directory {
  std::uint32_t address;
  std::uint32_t size;
};

// IMAGE_SECTION_HEADER
struct Section {
  std::array<char, 8> name;
  std::uint32_t size;
  std::uint32_t address;
  std::uint32_t file_size;
  std::uint32_t file_offset;
  std::array<std::uint32_t, 4> unused;
};

// IMAGE_COR20_HEADER, its beginning
struct CliHeader {
  std::uint32_t size;
  std::uint32_t version;
  Directory metadata;
};

// IMAGE_DEBUG_DIRECTORY
struct DebugEntry {
  std::uint32_t flags;
  std::uint32_t stamp;
  std::uint32_t version;
  std::uint32_t type;
  std::uint32_t size;
  std::uint32_t address;
  std::uint32_t file_offset;
};

struct CodeView {
  std::uint32_t magic;
  std::array<std::byte, 16> guid;
  std::uint32_t age;
  std::array<char, 1024> path;
};
constexpr std::size_t kCodeViewHead = offsetof(CodeView, path);

// The headers of a PE file.
class Headers {
 public:
  static Result<Headers> Parse(std::span<const std::byte> file) {
    ByteReader reader(file);
    reader.Seek(0x3c);
    reader.Seek(reader.Read<std::uint32_t>());
    if (reader.Read<std::uint32_t>() != kPeMagic) return Fail(Errc::kUnsupported, "no PE file");
    reader.Skip(2);  // machine
    const auto section_count = reader.Read<std::uint16_t>();
    reader.Skip(12);
    const auto optional_size = reader.Read<std::uint16_t>();
    reader.Skip(2);
    const std::size_t optional = reader.position();
    const std::size_t directories =
        optional + (reader.Read<std::uint16_t>() == kPe32Plus ? 112u : 96u);
    Headers headers;
    reader.Seek(directories + kDebugDirectory * sizeof(Directory));
    headers.debug_ = reader.Read<Directory>();
    reader.Seek(directories + kCliHeader * sizeof(Directory));
    headers.cli_ = reader.Read<Directory>();
    reader.Seek(optional + optional_size);
    if (section_count > kMaxSections) return Fail(Errc::kUnsupported, "sections of a PE file");
    for (std::uint16_t i = 0; i < section_count; ++i) {
      headers.sections_.push_back(reader.Read<Section>());
    }
    if (!reader.ok()) return Fail(Errc::kUnsupported, "no PE file");
    return headers;
  }

  [[nodiscard]] const Directory& debug() const { return debug_; }
  [[nodiscard]] const Directory& cli() const { return cli_; }
  /// Where in the file is what is to be loaded at `address`.
  [[nodiscard]] Result<std::uint64_t> OffsetOf(std::uint32_t address) const {
    const auto section = std::ranges::find_if(sections_, [&](const Section& one) {
      return address >= one.address && address - one.address < one.file_size;
    });
    if (section == sections_.end()) return Fail(Errc::kUnsupported, "address in a PE file");
    return std::uint64_t{section->file_offset} + address - section->address;
  }

 private:
  Directory debug_{};
  Directory cli_{};
  std::vector<Section> sections_;
};

// Whether the module with its metadata there is this one.
Result<bool> HasMetadata(ProcessMemory& memory, RemoteAddress file, const Headers& headers,
                         RemoteAddress metadata) {
  AGENT_TRY(const std::uint64_t place, headers.OffsetOf(headers.cli().address));
  AGENT_TRY(const auto cli, memory.ReadValue<CliHeader>(file.Plus(place)));
  AGENT_TRY(const std::uint64_t offset, headers.OffsetOf(cli.metadata.address));
  return file.Plus(offset) == metadata;
}

// False: another kind of CodeView.
Result<bool> ReadCodeView(ProcessMemory& memory, RemoteAddress file, const DebugEntry& entry,
                          PdbLink& link) {
  CodeView view{};
  const std::size_t size = std::min<std::size_t>(entry.size, sizeof(view));
  if (size < kCodeViewHead) return false;
  AGENT_CHECK_OK(memory.Read(file.Plus(entry.file_offset), BytesOf(view).first(size)));
  if (view.magic != kRsds) return false;
  std::memcpy(link.id.data(), view.guid.data(), view.guid.size());
  std::memcpy(link.id.data() + view.guid.size(), &entry.stamp, sizeof(entry.stamp));
  const std::string_view path(view.path.data(), ::strnlen(view.path.data(), view.path.size()));
  link.name = path.substr(path.find_last_of("/\\") + 1);
  return true;
}

Result<PdbLink> ReadLink(ProcessMemory& memory, RemoteAddress file, const Headers& headers) {
  AGENT_TRY(const std::uint64_t place, headers.OffsetOf(headers.debug().address));
  std::vector<DebugEntry> entries(
      std::min<std::size_t>(headers.debug().size / sizeof(DebugEntry), kMaxEntries));
  AGENT_CHECK_OK(memory.Read(file.Plus(place), std::as_writable_bytes(std::span(entries))));
  PdbLink link;
  bool is_named = false;
  for (const DebugEntry& entry : entries) {
    if (entry.type == kCodeView && !is_named) {
      AGENT_TRY(is_named, ReadCodeView(memory, file, entry, link));
    } else if (entry.type == kEmbeddedPdb) {
      link.embedded = file.Plus(entry.file_offset);
      link.embedded_size = entry.size;
    }
  }
  if (!is_named) return Fail(Errc::kUnsupported, "a module that names no PDB");
  return link;
}

}  // namespace

Result<PdbLink> ReadPdbLink(ProcessMemory& memory, const Mapping& mapping, RemoteAddress metadata) {
  std::vector<std::byte> head(
      std::min<std::uint64_t>(mapping.end.value() - mapping.start.value(), kHeadBytes));
  AGENT_TRY(const std::size_t size, memory.ReadSome(mapping.start, head));
  const std::string_view text(reinterpret_cast<const char*>(head.data()), size);
  std::size_t at = text.find(kDosMagic);
  for (int i = 0; i < kMaxCandidates && at < kPage; ++i, at = text.find(kDosMagic, at + 1)) {
    const Result<Headers> headers = Headers::Parse(std::span(head).first(size).subspan(at));
    if (!headers) continue;
    const RemoteAddress file = mapping.start.Plus(at);
    if (HasMetadata(memory, file, *headers, metadata).value_or(false)) {
      return ReadLink(memory, file, *headers);
    }
  }
  return Fail(Errc::kUnsupported, "no PE file");
}

}  // namespace agent::dotnet
