// SPDX-License-Identifier: Apache-2.0
#include "spies/python/line_table.h"

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

}  // namespace

std::uint32_t FindLine(std::span<const std::byte> table, std::uint32_t first_line,
                       std::int64_t instruction) {
  if (instruction < 0) return first_line;
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

}  // namespace agent::python
