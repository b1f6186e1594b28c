// SPDX-License-Identifier: Apache-2.0
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spies/dotnet/il_map.h"
#include "spies/dotnet/layout.h"
#include "spies/dotnet/portable_pdb.h"
#include "tests/support/catch.h"

using namespace agent;
using namespace agent::dotnet;

namespace {

std::vector<std::byte> FromHex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

std::string Shown(const IlMap& map, std::initializer_list<std::uint64_t> offsets) {
  std::string text;
  for (const std::uint64_t offset : offsets) {
    const auto il = map.At(offset);
    text += il ? std::to_string(*il) + " " : "- ";
  }
  return text;
}

// A portable PDB of three methods: one with two points, one without lines, one in two documents.
struct FakePdb {
  std::vector<std::byte> bytes;
  std::vector<std::byte> blobs{std::byte{0}};

  void Put(std::initializer_list<unsigned> values) {
    for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
  }
  void Put32(std::size_t value) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
  }
  std::size_t AddBlob(std::initializer_list<unsigned> values) {
    const std::size_t at = blobs.size();
    blobs.push_back(static_cast<std::byte>(values.size()));
    for (const unsigned value : values) blobs.push_back(static_cast<std::byte>(value));
    return at;
  }

  FakePdb() {
    const std::size_t folder = AddBlob({'s', 'r', 'c'});
    const std::size_t file = AddBlob({'A', '.', 'c', 's'});
    const std::size_t name =
        AddBlob({'/', 0, static_cast<unsigned>(folder), static_cast<unsigned>(file)});
    const std::size_t other =
        AddBlob({'/', static_cast<unsigned>(folder), static_cast<unsigned>(folder)});
    // IL 0: line 10, column 5; IL 4: hidden; IL 6: three lines on; IL 9: one line back.
    const std::size_t plain =
        AddBlob({0, 0, 0, 7, 10, 5, 4, 0, 0, 2, 0, 3, 6, 0, 3, 1, 4, 0x7f, 0});
    // Document 1, then 2, then 1 again.
    const std::size_t two =
        AddBlob({0, 1, 0, 0, 1, 20, 1, 0, 2, 3, 0, 1, 2, 0, 0, 1, 3, 0, 1, 4, 0});
    std::vector<std::byte> tables;
    std::swap(tables, bytes);
    Put({0, 0, 0, 0, 2, 0, 0, 1});
    Put({0, 0, 0, 0, 0, 0, 3, 0});  // tables 0x30 and 0x31
    Put({0, 0, 0, 0, 0, 0, 0, 0});
    Put32(2);
    Put32(3);
    for (const std::size_t document : {name, other}) {
      Put({static_cast<unsigned>(document), 0, 0, 0, 0, 0, 0, 0});
    }
    Put({1, 0, static_cast<unsigned>(plain), 0});
    Put({1, 0, 0, 0});
    Put({0, 0, static_cast<unsigned>(two), 0});
    std::swap(tables, bytes);
    // The root, with three streams.
    Put({'B', 'S', 'J', 'B', 1, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 'v', '1', 0, 0, 0, 0, 3, 0});
    const std::size_t head = bytes.size() + 16 + 12 + 16;
    Put32(head);
    Put32(32);
    Put({'#', 'P', 'd', 'b', 0, 0, 0, 0});
    Put32(head + 32);
    Put32(tables.size());
    Put({'#', '~', 0, 0});
    Put32(head + 32 + tables.size());
    Put32(blobs.size());
    Put({'#', 'B', 'l', 'o', 'b', 0, 0, 0});
    for (unsigned i = 0; i < 32; ++i) Put({i});
    bytes.insert(bytes.end(), tables.begin(), tables.end());
    bytes.insert(bytes.end(), blobs.begin(), blobs.end());
  }
};

// As it lies in a module. `told`: the size that it says it has.
std::vector<std::byte> Embedded(const std::vector<std::byte>& pdb, std::size_t told) {
  std::vector<std::byte> bytes(8 + ::compressBound(pdb.size()));
  const std::uint32_t head[] = {0x4244504d, static_cast<std::uint32_t>(told)};
  std::memcpy(bytes.data(), head, sizeof(head));
  z_stream stream{};
  REQUIRE(::deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::vector<std::byte> input = pdb;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data() + 8);
  stream.avail_out = static_cast<uInt>(bytes.size() - 8);
  REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  bytes.resize(8 + stream.total_out);
  ::deflateEnd(&stream);
  return bytes;
}

}  // namespace

// Of Part..ctor and Shares.Draw in tests/programs/dotnet/Shares.cs, first tier.
TEST_CASE("IlMap: as .NET 8 and 9 write it, and as .NET 10 does") {
  const auto nine = IlMap::Decode(
      FromHex("003a2c0910b2339296221a1aa2c2201a7c92d225000209b043706b99"), LayoutOf(9)->debug_info);
  REQUIRE(nine);
  const auto ten = IlMap::Decode(FromHex("00792c095482c03de81463a4048da7aa150009b043703b9944"),
                                 LayoutOf(10)->debug_info);
  REQUIRE(ten);
  const auto nine_precompiled = IlMap::DecodePrecompiled(
      FromHex("3a2c0910b2339296221a1aa2c2201a7c92d225000209b043706b99"), false);
  REQUIRE(nine_precompiled);
  const auto ten_precompiled =
      IlMap::DecodePrecompiled(FromHex("792c095482c03de81463a4048da7aa150009b043703b9944"), true);
  REQUIRE(ten_precompiled);
  for (const IlMap& map : {*nine, *ten, *nine_precompiled, *ten_precompiled}) {
    CHECK(Shown(map, {0, 26, 27, 40, 41, 57, 58, 93, 102, 103, 200}) ==
          "0 0 0 0 7 7 14 36 36 42 42 ");
  }
  CHECK(IlMap::Decode(FromHex("0000"), LayoutOf(10)->debug_info)->At(5) == std::nullopt);
}

TEST_CASE("IlMap: what is cut off, or cannot be") {
  const auto whole = FromHex("003a2c0910b2339296221a1aa2c2201a7c92d2250002");
  for (std::size_t size = 0; size + 1 < whole.size(); ++size) {
    CHECK_FALSE(IlMap::Decode(std::span(whole).first(size), LayoutOf(9)->debug_info));
  }
  CHECK_FALSE(IlMap::Decode(FromHex("04"), LayoutOf(9)->debug_info));
  CHECK_FALSE(
      IlMap::Decode(FromHex("01ffffffffffffffffffffffffffffffff"), LayoutOf(9)->debug_info));
}

TEST_CASE("PortablePdb: lines, a hidden point, a document's name") {
  const auto pdb = PortablePdb::Parse(FakePdb().bytes);
  REQUIRE(pdb);
  CHECK(pdb->id()[0] == std::byte{0});
  CHECK(pdb->id()[19] == std::byte{19});
  const auto lines = pdb->LinesOf(1);
  REQUIRE(lines);
  CHECK(lines->file == "/src/A.cs");
  CHECK(lines->At(0) == 10);
  CHECK(lines->At(5) == 10);
  CHECK(lines->At(6) == 13);
  CHECK(lines->At(9) == 12);
  CHECK_FALSE(pdb->LinesOf(0));
  CHECK_FALSE(pdb->LinesOf(2));
  CHECK_FALSE(pdb->LinesOf(4));
}

TEST_CASE("PortablePdb: of a method in two files only the first has lines") {
  const auto pdb = PortablePdb::Parse(FakePdb().bytes);
  REQUIRE(pdb);
  const auto lines = pdb->LinesOf(3);
  REQUIRE(lines);
  CHECK(lines->file == "/src/A.cs");
  CHECK(lines->At(0) == 20);
  CHECK(lines->At(3) == 0);
  CHECK(lines->At(6) == 23);
}

TEST_CASE("PortablePdb: what is cut off is refused, or has no lines") {
  const FakePdb fake;
  for (std::size_t size = 0; size < fake.bytes.size(); ++size) {
    const auto pdb = PortablePdb::Parse(
        {fake.bytes.begin(), fake.bytes.begin() + static_cast<std::ptrdiff_t>(size)});
    CHECK_FALSE((pdb && pdb->LinesOf(1) && pdb->LinesOf(3)));
  }
}

TEST_CASE("PortablePdb: embedded in its module") {
  const std::vector<std::byte> whole = FakePdb().bytes;
  const std::vector<std::byte> embedded = Embedded(whole, whole.size());
  const auto pdb = PortablePdb::ParseEmbedded(embedded);
  REQUIRE(pdb);
  CHECK(pdb->size() == whole.size());
  CHECK(pdb->LinesOf(1)->At(6) == 13);
  for (std::size_t size = 0; size < embedded.size(); ++size) {
    CHECK_FALSE(PortablePdb::ParseEmbedded(std::span(embedded).first(size)));
  }
  const std::size_t limit = PortablePdb::kMaxBytes;
  for (const std::size_t told : {whole.size() - 1, whole.size() + 1, limit, limit + 1}) {
    CHECK_FALSE(PortablePdb::ParseEmbedded(Embedded(whole, told)));
  }
}
