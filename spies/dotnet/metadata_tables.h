// SPDX-License-Identifier: Apache-2.0
// Where the rows and columns of a module's metadata tables lie (ECMA-335 II.22, II.24.2.6).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "agent/base/error.h"

namespace agent::dotnet {

/// The tables that are read; the numbers are the format's.
enum class TableId : std::uint8_t {
  kModule = 0x00,
  kTypeRef = 0x01,
  kTypeDef = 0x02,
  kMethodPtr = 0x05,
  kMethodDef = 0x06,
  kInterfaceImpl = 0x09,
  kAssembly = 0x20,
  kNestedClass = 0x29,
};

class MetadataTables {
 public:
  /// `stream` is all of "#~" or "#-". kMalformed; each row of each table up to 0x2c then lies in
  /// it.
  static Result<MetadataTables> Parse(std::span<const std::byte> stream);

  [[nodiscard]] std::uint32_t rows(TableId table) const { return At(table).rows; }
  /// Whether the table says that it is sorted by its key.
  [[nodiscard]] bool sorted(TableId table) const {
    return (sorted_ >> static_cast<unsigned>(table) & 1) != 0;
  }
  /// One cell; `stream` as for Parse. 0 for a row that is not there. Rows count from 1, columns
  /// from 0 in the format's order.
  [[nodiscard]] std::uint32_t Cell(std::span<const std::byte> stream, TableId table,
                                   std::uint32_t row, std::size_t column) const;

 private:
  static constexpr std::size_t kTables = 0x2d;
  static constexpr std::size_t kMaxColumns = 9;
  struct Table {
    std::size_t start = 0;
    std::uint32_t rows = 0;
    std::uint8_t row_size = 0;
    /// Where each column begins in a row, and where the last one ends; 0 behind that.
    std::array<std::uint8_t, kMaxColumns + 1> columns{};
  };

  [[nodiscard]] const Table& At(TableId table) const {
    return tables_[static_cast<std::size_t>(table)];
  }

  std::array<Table, kTables> tables_{};
  std::uint64_t sorted_ = 0;
};

}  // namespace agent::dotnet
