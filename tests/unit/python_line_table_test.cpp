// SPDX-License-Identifier: Apache-2.0
#include <initializer_list>
#include <vector>

#include "spies/python/line_table.h"
#include "tests/support/catch.h"

using agent::python::LineFormat;

namespace {

std::uint32_t FindLine(const std::vector<std::byte>& table, std::uint32_t first_line,
                       std::int64_t instruction) {
  return agent::python::FindLine(LineFormat::kLocations, table, first_line, instruction);
}

std::vector<std::byte> Table(std::initializer_list<unsigned> bytes) {
  std::vector<std::byte> table;
  for (const unsigned byte : bytes) table.push_back(static_cast<std::byte>(byte));
  return table;
}

constexpr unsigned Head(unsigned kind, unsigned units) { return 0x80 | kind << 3 | (units - 1); }

// Two units on line 10 (one-line form, delta 0), one unit of no line, three units on line 12, two
// on line 7.
const std::vector<std::byte> kTable =
    Table({Head(10, 2), 0, 4, Head(15, 1), Head(12, 3), 0, 9, Head(13, 2), 5 << 1 | 1});

}  // namespace

TEST_CASE("an instruction belongs to the entry that it starts in") {
  CHECK(FindLine(kTable, 10, 0) == 10);
  CHECK(FindLine(kTable, 10, 1) == 10);
  CHECK(FindLine(kTable, 10, 2) == 0);  // no line
  CHECK(FindLine(kTable, 10, 3) == 12);
  CHECK(FindLine(kTable, 10, 5) == 12);
  CHECK(FindLine(kTable, 10, 6) == 7);
  CHECK(FindLine(kTable, 10, 7) == 7);
}

TEST_CASE("a frame that has not run yet is on the function's first line") {
  CHECK(FindLine(kTable, 10, -1) == 10);
}

TEST_CASE("past the table there is no line") {
  CHECK(FindLine(kTable, 10, 8) == 0);
  CHECK(FindLine({}, 10, 0) == 0);
}

TEST_CASE("the long form moves the line by a signed number of any length") {
  // +100: 200 as varint is 0x48, 0x03; then end line, column, end column.
  const auto table = Table({Head(14, 1), 0x48, 0x03, 0, 1, 2, Head(0, 1), 7});
  CHECK(FindLine(table, 5, 0) == 105);
  CHECK(FindLine(table, 5, 1) == 105);
}

TEST_CASE("any bytes are safe") {
  std::vector<std::byte> table;
  for (unsigned i = 0; i < 4096; ++i) {
    table.push_back(static_cast<std::byte>(i * 2654435761u >> 13));
    static_cast<void>(FindLine(table, 1, i));
  }
  const std::vector<std::byte> endless(100, std::byte{0xff});
  static_cast<void>(FindLine(endless, 1, 1000));
}

TEST_CASE("3.9 and older: a pair changes the line of the code behind its bytes") {
  using agent::python::FindLine;
  // def f():            line 5
  //   g(              # 6: bytes 0 to 1, and the call at 6 to 7
  //       1,          # 7: bytes 2 to 3
  //       2)          # 8: bytes 4 to 5
  const auto table = Table({0, 1, 2, 1, 2, 1, 2, 0xfe});
  const auto line = [&](std::int64_t unit) { return FindLine(LineFormat::kPairs, table, 5, unit); };
  CHECK(line(-1) == 5);
  CHECK(line(0) == 6);
  CHECK(line(1) == 7);
  CHECK(line(2) == 8);
  CHECK(line(3) == 6);
  CHECK(line(100) == 6);
}

TEST_CASE("3.9 and older: a step of more than 255 bytes or 127 lines is several pairs") {
  using agent::python::FindLine;
  const auto table = Table({255, 0, 45, 127, 0, 73});
  CHECK(FindLine(LineFormat::kPairs, table, 1, 149) == 1);
  CHECK(FindLine(LineFormat::kPairs, table, 1, 150) == 201);
}

TEST_CASE("3.10: a pair is of its own bytes, and may say that there is no line") {
  using agent::python::FindLine;
  const auto table = Table({2, 1, 4, 0x80, 2, 2, 0, 5, 2, 0xff});
  const auto line = [&](std::int64_t unit) {
    return FindLine(LineFormat::kRanges, table, 5, unit);
  };
  CHECK(line(-1) == 5);
  CHECK(line(0) == 6);
  CHECK(line(1) == 0);
  CHECK(line(2) == 0);
  CHECK(line(3) == 8);
  CHECK(line(4) == 12);
  CHECK(line(5) == 0);
}
