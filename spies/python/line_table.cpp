// SPDX-License-Identifier: Apache-2.0
#include "spies/python/line_table.h"

#include <algorithm>

namespace agent::python {
namespace {

// Kinds of entries: bits 3 to 6 of the first byte.
constexpr unsigned kFirstOneLine = 10;  // 10, 11, 12: the line moves by 0, 1, 2
constexpr unsigned kNoColumns = 13;
constexpr unsigned kLong = 14;
constexpr unsigned kNoLocation = 15;

class TableReader {
 public:
  explicit TableReader(std::span<const std::byte> table) : table_(table) {}
  [[nodiscard]] bool AtEnd() const { return position_ >= table_.size(); }
  unsigned Byte() { return AtEnd() ? 0 : std::to_integer<unsigned>(table_[position_++]); }
  void Skip(std::size_t bytes) { position_ += bytes; }

  // 6 bits a byte, lowest first; 0x40: more follow.
  std::uint64_t Varint() {
    std::uint64_t value = 0;
    unsigned shift = 0;
    while (!AtEnd()) {
      const unsigned byte = Byte();
      if (shift < 64) value |= std::uint64_t{byte & 0x3f} << shift;
      shift += 6;
      if ((byte & 0x40) == 0) break;
    }
    return value;
  }
  std::int64_t SignedVarint() {
    const std::uint64_t value = Varint();
    const auto magnitude = static_cast<std::int64_t>(value >> 1);
    return (value & 1) != 0 ? -magnitude : magnitude;
  }

 private:
  std::span<const std::byte> table_;
  std::size_t position_ = 0;
};

// Objects/lnotab_notes.txt of 3.9: a pair's change of line is of the code behind its bytes.
std::uint32_t FindInPairs(std::span<const std::byte> table, std::uint32_t first_line,
                          std::int64_t address) {
  TableReader reader(table);
  std::uint32_t line = first_line;
  std::int64_t start = 0;
  while (!reader.AtEnd()) {
    start += reader.Byte();
    if (start > address) break;
    line += static_cast<std::uint32_t>(static_cast<std::int8_t>(reader.Byte()));
  }
  return line;
}

// Objects/lnotab_notes.txt of 3.10: a pair's change of line is of its own bytes; -128: no line.
std::uint32_t FindInRanges(std::span<const std::byte> table, std::uint32_t first_line,
                           std::int64_t address) {
  constexpr int kNoLine = -128;
  TableReader reader(table);
  std::uint32_t line = first_line;
  std::int64_t end = 0;
  while (!reader.AtEnd()) {
    end += reader.Byte();
    const auto change = static_cast<std::int8_t>(reader.Byte());
    if (change != kNoLine) line += static_cast<std::uint32_t>(change);
    if (address < end) return change == kNoLine ? 0 : line;
  }
  return 0;
}

// Objects/locations.md of 3.11.
std::uint32_t FindInLocations(std::span<const std::byte> table, std::uint32_t first_line,
                              std::int64_t instruction) {
  TableReader reader(table);
  // Unsigned, so that hostile sums wrap instead of overflowing.
  auto line = std::uint64_t{first_line};
  std::int64_t start = 0;
  while (!reader.AtEnd()) {
    const unsigned head = reader.Byte();
    const unsigned kind = head >> 3 & 15;
    const std::int64_t end = start + (head & 7) + 1;
    if (kind == kNoColumns || kind == kLong) {
      line += static_cast<std::uint64_t>(reader.SignedVarint());
      if (kind == kLong) {
        for (int i = 0; i < 3; ++i) static_cast<void>(reader.Varint());  // end line, columns
      }
    } else if (kind >= kFirstOneLine && kind < kNoColumns) {
      line += kind - kFirstOneLine;
      reader.Skip(2);
    } else if (kind < kFirstOneLine) {
      reader.Skip(1);
    }
    if (instruction < end) {
      return kind == kNoLocation ? 0 : static_cast<std::uint32_t>(line);
    }
    start = end;
  }
  return 0;
}

}  // namespace

std::uint32_t FindLine(LineFormat format, std::span<const std::byte> table,
                       std::uint32_t first_line, std::int64_t instruction) {
  if (instruction < 0) return first_line;
  constexpr std::int64_t kUnit = 2;
  constexpr std::int64_t kMaxUnits = std::int64_t{1} << 40;  // hostile: no overflow below
  const std::int64_t address = std::min(instruction, kMaxUnits) * kUnit;
  switch (format) {
    case LineFormat::kPairs:
      return FindInPairs(table, first_line, address);
    case LineFormat::kRanges:
      return FindInRanges(table, first_line, address);
    case LineFormat::kLocations:
      return FindInLocations(table, first_line, instruction);
  }
  return 0;
}

}  // namespace agent::python
