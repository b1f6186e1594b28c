// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/portable_pdb.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "agent/base/byte_reader.h"

namespace agent::dotnet {
namespace {

constexpr std::uint32_t kSignature = 0x424a5342;          // "BSJB"
constexpr std::uint32_t kEmbeddedSignature = 0x4244504d;  // "MPDB"
constexpr int kRawWindow = -15;                           // of zlib: no header around the data
constexpr std::size_t kMostFromByte = 1032;               // of deflate
constexpr unsigned kWideGuids = 2;                        // heap sizes (ECMA-335 II.24.2.6)
constexpr unsigned kWideBlobs = 4;
constexpr unsigned kDocumentTable = 0x30;
constexpr unsigned kMethodTable = 0x31;
constexpr std::size_t kMaxPoints = 1u << 16;
constexpr std::size_t kMaxName = 4096;

// ECMA-335 II.23.2.
std::uint32_t ReadCompressed(ByteReader& reader) {
  const auto first = reader.Read<std::uint8_t>();
  if ((first & 0x80) == 0) return first;
  const auto second = reader.Read<std::uint8_t>();
  if ((first & 0x40) == 0) return (first & 0x3fu) << 8 | second;
  const auto third = reader.Read<std::uint8_t>();
  const auto fourth = reader.Read<std::uint8_t>();
  return (first & 0x1fu) << 24 | std::uint32_t{second} << 16 | std::uint32_t{third} << 8 | fourth;
}

std::int32_t ReadCompressedSigned(ByteReader& reader) {
  const std::size_t start = reader.position();
  const std::uint32_t value = ReadCompressed(reader);
  const std::size_t size = reader.position() - start;
  const unsigned bits = size == 1 ? 6 : size == 2 ? 13 : 28;
  const auto rotated = static_cast<std::int32_t>(value >> 1);
  return (value & 1) == 0 ? rotated : rotated - (std::int32_t{1} << bits);
}

std::uint32_t ReadIndex(ByteReader& reader, std::size_t width) {
  return width == 2 ? reader.Read<std::uint16_t>() : reader.Read<std::uint32_t>();
}

}  // namespace

std::uint32_t MethodLines::At(std::uint32_t il) const {
  const auto after = std::ranges::upper_bound(points, il, {}, &Point::il);
  return after == points.begin() ? 0 : std::prev(after)->line;
}

Result<PortablePdb> PortablePdb::Parse(std::vector<std::byte> bytes) {
  PortablePdb pdb;
  pdb.bytes_ = std::move(bytes);
  const std::span<const std::byte> all(pdb.bytes_);
  ByteReader reader(all);
  if (reader.Read<std::uint32_t>() != kSignature) return Fail(Errc::kMalformed, "no portable PDB");
  reader.Skip(8);  // versions, reserved
  reader.Skip(reader.Read<std::uint32_t>());
  reader.Skip(2);  // flags
  const auto count = reader.Read<std::uint16_t>();
  std::span<const std::byte> own;
  std::span<const std::byte> tables;
  for (unsigned i = 0; i < count && reader.ok(); ++i) {
    const auto offset = reader.Read<std::uint32_t>();
    const auto size = reader.Read<std::uint32_t>();
    const std::string_view name = reader.ReadString();
    reader.Skip(3 - name.size() % 4);
    ByteReader stream(all);
    stream.Skip(offset);
    const auto part = stream.Take(size);
    if (name == "#Pdb") own = part;
    if (name == "#~") tables = part;
    if (name == "#Blob") pdb.blobs_ = part;
  }
  if (!reader.ok() || own.size() < pdb.id_.size()) return Fail(Errc::kMalformed, "no portable PDB");
  std::memcpy(pdb.id_.data(), own.data(), pdb.id_.size());

  ByteReader table(tables);
  table.Skip(6);  // reserved, versions
  const auto heap_sizes = table.Read<std::uint8_t>();
  table.Skip(1);
  const auto present = table.Read<std::uint64_t>();
  table.Skip(8);  // which ones are sorted
  std::array<std::uint32_t, 64> rows{};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if ((present >> i & 1) != 0) rows[i] = table.Read<std::uint32_t>();
  }
  // Tables of the module's own come before, and are not in a PDB.
  if ((present & ((std::uint64_t{1} << kDocumentTable) - 1)) != 0) {
    return Fail(Errc::kMalformed, "a portable PDB with a module's tables");
  }
  pdb.guid_width_ = (heap_sizes & kWideGuids) != 0 ? 4 : 2;
  pdb.blob_width_ = (heap_sizes & kWideBlobs) != 0 ? 4 : 2;
  pdb.document_width_ = rows[kDocumentTable] > 0xffff ? 4 : 2;
  pdb.documents_ =
      table.Take(std::uint64_t{rows[kDocumentTable]} * 2 * (pdb.blob_width_ + pdb.guid_width_));
  pdb.methods_ =
      table.Take(std::uint64_t{rows[kMethodTable]} * (pdb.document_width_ + pdb.blob_width_));
  if (!table.ok()) return Fail(Errc::kMalformed, "the tables of a portable PDB are cut off");
  return pdb;
}

Result<PortablePdb> PortablePdb::ParseEmbedded(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  if (reader.Read<std::uint32_t>() != kEmbeddedSignature) {
    return Fail(Errc::kMalformed, "no embedded PDB");
  }
  const auto size = reader.Read<std::uint32_t>();
  const std::span<const std::byte> packed = reader.Take(reader.left());
  if (!reader.ok() || size > kMaxBytes || packed.size() > kMaxBytes ||
      size / kMostFromByte > packed.size()) {
    return Fail(Errc::kMalformed, "size of an embedded PDB");
  }
  std::vector<std::byte> whole(size);
  z_stream stream{};
  if (::inflateInit2(&stream, kRawWindow) != Z_OK) std::abort();  // no memory
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(whole.data());
  stream.avail_out = static_cast<uInt>(whole.size());
  const int status = ::inflate(&stream, Z_FINISH);
  ::inflateEnd(&stream);
  if (status != Z_STREAM_END || stream.avail_out != 0) {
    return Fail(Errc::kMalformed, "an embedded PDB is cut off");
  }
  return Parse(std::move(whole));
}

std::span<const std::byte> PortablePdb::Blob(std::uint32_t index) const {
  ByteReader reader(blobs_);
  reader.Skip(index);
  const std::uint32_t size = ReadCompressed(reader);
  return reader.Take(size);
}

// A separator, and indexes of the parts between.
std::string PortablePdb::DocumentName(std::uint32_t row) const {
  if (row == 0) return {};
  ByteReader document(documents_);
  document.Skip(std::uint64_t{row - 1} * 2 * (blob_width_ + guid_width_));
  ByteReader name(Blob(ReadIndex(document, blob_width_)));
  const auto separator = name.Read<char>();
  std::string text;
  for (bool first = true; document.ok() && name.ok() && !name.AtEnd(); first = false) {
    const auto part = Blob(ReadCompressed(name));
    if (!first && separator != 0) text += separator;
    text.append(reinterpret_cast<const char*>(part.data()), part.size());
    if (text.size() > kMaxName) return {};
  }
  return text;
}

std::optional<MethodLines> PortablePdb::LinesOf(std::uint32_t rid) const {
  const std::size_t width = document_width_ + blob_width_;
  if (rid == 0 || rid > methods_.size() / width) return std::nullopt;
  ByteReader row(methods_.subspan((rid - 1) * width, width));
  std::uint32_t document = ReadIndex(row, document_width_);
  ByteReader reader(Blob(ReadIndex(row, blob_width_)));
  if (reader.AtEnd()) return std::nullopt;
  static_cast<void>(ReadCompressed(reader));             // local signature
  if (document == 0) document = ReadCompressed(reader);  // the first of several
  const std::uint32_t file = document;
  MethodLines lines;
  std::uint32_t il = 0;
  std::int64_t line = 0;
  bool is_first = true;
  bool has_line = false;
  while (reader.ok() && !reader.AtEnd() && lines.points.size() < kMaxPoints) {
    const std::uint32_t il_delta = ReadCompressed(reader);
    if (il_delta == 0 && !is_first) {
      document = ReadCompressed(reader);
      continue;
    }
    is_first = false;
    il += il_delta;
    const std::uint32_t height = ReadCompressed(reader);
    const bool is_hidden = height == 0 ? ReadCompressed(reader) == 0
                                       : (static_cast<void>(ReadCompressedSigned(reader)), false);
    if (is_hidden) continue;
    if (!has_line) {
      line = ReadCompressed(reader);
      static_cast<void>(ReadCompressed(reader));  // column
    } else {
      line += ReadCompressedSigned(reader);
      static_cast<void>(ReadCompressedSigned(reader));
    }
    has_line = true;
    // Of what another file includes no line is told: a frame has one file.
    const bool is_there = document == file && line > 0 && line < 0xfeefee;
    lines.points.push_back({il, is_there ? static_cast<std::uint32_t>(line) : 0});
  }
  if (!reader.ok() || lines.points.empty()) return std::nullopt;
  lines.file = DocumentName(file);
  if (lines.file.empty()) return std::nullopt;
  return lines;
}

}  // namespace agent::dotnet
