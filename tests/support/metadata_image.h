// SPDX-License-Identifier: Apache-2.0
// Makes .NET metadata (ECMA-335 II.24) by its own account of the format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

class MetadataImage {
 public:
  // The columns of each table (II.22), a letter each. Fixed: 2, 4. Heaps: string s, guid g, blob b.
  // Rows of: Field F, MethodDef M, Param P, TypeDef T, Event E, Property R, ModuleRef u,
  // AssemblyRef y, GenericParam G. Tagged: TypeDefOrRef d, HasConstant c, HasCustomAttribute A,
  // HasFieldMarshal f, HasDeclSecurity D, MemberRefParent p, HasSemantics S, MethodDefOrRef m,
  // MemberForwarded w, Implementation i, CustomAttributeType k, ResolutionScope r, TypeOrMethodDef
  // O.
  // clang-format off
  static constexpr std::array<std::string_view, 0x2d> kColumns = {
      /* 00 */ "2sggg", "rss", "4ssdFM", "F", "2sb", "M", "422sbP", "P",
      /* 08 */ "22s", "Td", "psb", "2cb", "Akb", "fb", "2Db", "24T",
      /* 10 */ "4F", "b", "TE", "E", "2sd", "TR", "R", "2sb",
      /* 18 */ "2MS", "Tmm", "s", "b", "2wsu", "4F", "44", "4",
      /* 20 */ "422224bss", "4", "444", "22224bssb", "4y", "444y", "4sb", "44ssi",
      /* 28 */ "44si", "TT", "22Os", "mb", "Gd"};
  // clang-format on

  /// `wide` are the letters whose columns have 4 bytes.
  explicit MetadataImage(std::string wide = "") : wide_(std::move(wide)) {}

  std::string stream_name = "#~";
  std::uint64_t sorted = 0x16003301fa00;  // what the C# compiler writes
  unsigned more_heap_flags = 0;
  std::string after_tables;

  /// Makes the table have this many rows, the new ones of zeros.
  void Rows(unsigned table, std::uint32_t count) {
    counts_[table] = count;
    rows_[table].resize(std::size_t{count} * Size(kColumns[table]));
  }
  void Set(unsigned table, std::uint32_t row, std::size_t column, std::uint32_t value) {
    if (row > counts_[table]) Rows(table, row);
    const std::string_view columns = kColumns[table];
    const std::size_t at = (row - 1) * Size(columns) + Size(columns.substr(0, column));
    std::memcpy(rows_[table].data() + at, &value, Size(columns.substr(column, 1)));
  }
  std::uint32_t Text(std::string_view text) {
    const auto at = static_cast<std::uint32_t>(strings_.size());
    strings_ += text;
    strings_ += '\0';
    return at;
  }

  [[nodiscard]] std::string TableStream() const {
    std::string stream(4, '\0');
    const auto has = [&](char letter) { return wide_.find(letter) != std::string::npos; };
    stream += {2, 0};
    stream += static_cast<char>((has('s') ? 1u : 0u) | (has('g') ? 2u : 0u) | (has('b') ? 4u : 0u) |
                                more_heap_flags);
    stream += '\1';
    std::uint64_t present = 0;
    for (std::size_t i = 0; i < kTables; ++i) {
      if (counts_[i] > 0) present |= std::uint64_t{1} << i;
    }
    Append(stream, present);
    Append(stream, sorted);
    for (const std::uint32_t count : counts_) {
      if (count > 0) Append(stream, count);
    }
    if ((more_heap_flags & 0x40) != 0) Append(stream, std::uint32_t{0});
    for (const std::string& rows : rows_) stream += rows;
    return stream + after_tables;
  }

  [[nodiscard]] std::vector<std::byte> Bytes() const {
    return Assemble({{stream_name, TableStream()}, {"#Strings", strings_}, {"#Blob", "blob"}});
  }

  struct Stream {
    std::string name;
    std::string bytes;
  };
  static std::vector<std::byte> Assemble(const std::vector<Stream>& streams) {
    std::string head("BSJB\1\0\1\0\0\0\0\0\x0c\0\0\0v4.0.30319\0\0\0\0", 30);
    Append(head, static_cast<std::uint16_t>(streams.size()));
    std::size_t at = head.size();
    for (const Stream& stream : streams) at += 8 + (stream.name.size() / 4 + 1) * 4;
    std::string bodies;
    for (const Stream& stream : streams) {
      Append(head, static_cast<std::uint32_t>(at + bodies.size()));
      Append(head, static_cast<std::uint32_t>(stream.bytes.size()));
      head += stream.name;
      head.append(4 - stream.name.size() % 4, '\0');
      bodies += stream.bytes;
    }
    const std::string all = head + bodies;
    const auto bytes = std::as_bytes(std::span(all));
    return {bytes.begin(), bytes.end()};
  }

 private:
  static constexpr std::size_t kTables = 64;

  [[nodiscard]] std::size_t Size(std::string_view columns) const {
    std::size_t size = 0;
    for (const char letter : columns) {
      size += letter == '4' || wide_.find(letter) != std::string::npos ? 4 : 2;
    }
    return size;
  }
  template <typename T>
  static void Append(std::string& to, T value) {
    to.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  std::string wide_;
  std::string strings_ = std::string(1, '\0');
  std::array<std::uint32_t, kTables> counts_{};
  std::array<std::string, kTables> rows_;
};

}  // namespace agent
