// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "agent/base/byte_reader.h"
#include "spies/unwind/cfi_reader.h"
#include "tests/support/catch.h"
#include "tests/support/cfi_bytes.h"

namespace agent::unwind {
namespace {

CfiEntries Read(const Bytes& section, CfiFormat format = CfiFormat::kEhFrame) {
  return ReadCfiEntries(section.get(), kSectionAddress, format);
}

Bytes WithFde(const Bytes& cie) {
  Bytes section = cie;
  return section.Append(UsualFde(cie.size(), kCodeStart, 0x40, {}));
}

}  // namespace

TEST_CASE("byte reader: numbers and their ends") {
  const Bytes bytes = Bytes().U8(0x12).U16(0x3456).U32(0x789abcde).U64(~std::uint64_t{0});
  ByteReader reader(bytes.get());
  CHECK(reader.Read<std::uint8_t>() == 0x12);
  CHECK(reader.Read<std::uint16_t>() == 0x3456);
  CHECK(reader.Read<std::uint32_t>() == 0x789abcde);
  CHECK(reader.Read<std::int64_t>() == -1);
  CHECK(reader.ok());
  CHECK(reader.AtEnd());
  CHECK(reader.Read<std::uint8_t>() == 0);
  CHECK_FALSE(reader.ok());
  // It stays so.
  reader.Seek(0);
  CHECK(reader.Read<std::uint8_t>() == 0x12);
  CHECK_FALSE(reader.ok());
}

TEST_CASE("byte reader: LEB128") {
  const auto values = {std::int64_t{0},   std::int64_t{63},   std::int64_t{64}, std::int64_t{-64},
                       std::int64_t{-65}, std::int64_t{8191}, INT64_MAX,        INT64_MIN};
  for (const std::int64_t value : values) {
    const Bytes bytes = Bytes().Sleb(value).Uleb(static_cast<std::uint64_t>(value));
    ByteReader reader(bytes.get());
    CHECK(reader.ReadSleb() == value);
    CHECK(reader.ReadUleb() == static_cast<std::uint64_t>(value));
    CHECK(reader.AtEnd());
    CHECK(reader.ok());
  }
  // Longer than any number: the bits beyond 64 are dropped, the bytes read.
  const Bytes padded =
      Bytes().List({0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x55});
  ByteReader reader(padded.get());
  CHECK(reader.ReadUleb() == 1);
  CHECK(reader.Read<std::uint8_t>() == 0x55);
  const Bytes endless = Bytes().List({0xff, 0xff, 0xff});
  ByteReader unsigned_reader(endless.get());
  CHECK(unsigned_reader.ReadUleb() == 0);
  CHECK_FALSE(unsigned_reader.ok());
  ByteReader signed_reader(endless.get());
  CHECK(signed_reader.ReadSleb() == 0);
  CHECK_FALSE(signed_reader.ok());
}

TEST_CASE("byte reader: pieces and strings") {
  const Bytes bytes = Bytes().Text("zR").List({1, 2, 3});
  ByteReader reader(bytes.get());
  CHECK(reader.ReadString() == "zR");
  CHECK(reader.Take(2).size() == 2);
  CHECK(reader.left() == 1);
  CHECK(reader.ReadString().empty());  // no NUL
  CHECK_FALSE(reader.ok());
  ByteReader too_much(bytes.get());
  CHECK(too_much.Take(~std::uint64_t{0}).empty());
  CHECK_FALSE(too_much.ok());
  ByteReader too_far(bytes.get());
  too_far.Seek(bytes.size());
  CHECK(too_far.ok());
  too_far.Seek(bytes.size() + 1);
  CHECK_FALSE(too_far.ok());
  ByteReader empty({});
  CHECK(empty.ReadString().empty());
  CHECK_FALSE(empty.ok());
}

TEST_CASE("CFI: what linkers write") {
  // zPLR with a personality routine, pointers relative to their own place, 4 bytes.
  Bytes cie;
  cie.U32(0).U8(1).Text("zPLR").Uleb(1).Sleb(-8).U8(16);
  cie.Uleb(7).U8(0x9b).U32(0x1234).U8(0x1b).U8(0x1b).List({0x0c, 7, 8});
  Bytes section = Entry(cie);
  const std::size_t fde_at = section.size();
  Bytes fde;
  fde.U32(fde_at + 4);
  const std::uint64_t place = kSectionAddress + fde_at + 8;
  fde.U32(static_cast<std::uint32_t>(kCodeStart - place)).U32(0x40).Uleb(4).U32(0).List({0x41, 0});
  section.Append(Entry(fde));
  const CfiEntries entries = Read(section);
  CHECK(entries.malformed == 0);
  REQUIRE(entries.fdes.size() == 1);
  CHECK(entries.fdes[0].start == kCodeStart);
  CHECK(entries.fdes[0].size == 0x40);
  CHECK(entries.fdes[0].instructions.size() == 2);
  REQUIRE(entries.cies.size() == 1);
  const Cie& read = entries.cies[0];
  CHECK(read.code_alignment == 1);
  CHECK(read.data_alignment == -8);
  CHECK(read.return_column == 16);
  CHECK(read.instructions.size() == 3);
  CHECK_FALSE(read.is_signal_frame);
}

TEST_CASE("CFI: augmentations") {
  CHECK(Read(WithFde(UsualCie())).fdes.size() == 1);
  const CfiEntries signal = Read(WithFde(UsualCie("zRS")));
  REQUIRE(signal.fdes.size() == 1);
  CHECK(signal.cies[0].is_signal_frame);
  // What follows an unknown letter is not read; the size tells where the program begins.
  CHECK(Read(WithFde(UsualCie("zRX"))).fdes.size() == 1);
  CHECK(Read(WithFde(UsualCie("zRB"))).fdes.size() == 1);
  // Without "z" nobody knows how long it is.
  const CfiEntries old = Read(WithFde(UsualCie("eh")));
  CHECK(old.fdes.empty());
  CHECK(old.malformed > 0);
}

TEST_CASE("CFI: versions of .debug_frame") {
  for (const unsigned version : {1u, 2u, 3u, 4u, 5u}) {
    for (const unsigned address_size : {4u, 8u}) {
      for (const bool is_64 : {false, true}) {
        Bytes cie;
        if (is_64) {
          cie.U64(~std::uint64_t{0});
        } else {
          cie.U32(0xffffffff);
        }
        cie.U8(version).Text("");
        if (version >= 4) cie.U8(address_size).U8(0);
        cie.Uleb(1).Sleb(-8);
        if (version == 1) {
          cie.U8(16);
        } else {
          cie.Uleb(200).U8(0);  // a column that takes two bytes, and a nop
        }
        Bytes section = Entry(cie, is_64);
        Bytes fde;
        if (is_64) {
          fde.U64(0);
        } else {
          fde.U32(0);
        }
        section.Append(Entry(fde.U64(kCodeStart).U64(0x40), is_64));
        const CfiEntries entries = Read(section, CfiFormat::kDebugFrame);
        const bool is_known = version == 1 || version == 3 || (version == 4 && address_size == 8);
        INFO("version " << version << ", addresses of " << address_size << ", 64 " << is_64);
        REQUIRE(entries.fdes.size() == (is_known ? 1 : 0));
        CHECK((entries.malformed > 0) == !is_known);
        if (is_known) CHECK(entries.cies[0].return_column == (version == 1 ? 16u : 200u));
      }
    }
  }
}

TEST_CASE("CFI: lengths of 64 bits in .eh_frame, and several terminators") {
  Bytes section = UsualCie();
  section.U32(0);  // one input's end; the next one's entries follow
  Bytes fde;
  const std::size_t at = section.size() + 12;
  fde.U32(at).U64(kCodeStart).U64(0x20).Uleb(0);
  section.Append(Entry(fde, true)).U32(0).U32(0);
  const CfiEntries entries = Read(section);
  CHECK(entries.malformed == 0);
  REQUIRE(entries.fdes.size() == 1);
  CHECK(entries.fdes[0].start == kCodeStart);
}

TEST_CASE("CFI: nonsense is left out") {
  const Bytes good = UsualCie();
  const auto entries_of = [&](const Bytes& body) {
    Bytes section = good;
    return Read(section.Append(Entry(body)));
  };
  // An FDE whose CIE would lie before the section, inside another entry, or is the FDE itself.
  CHECK(entries_of(Bytes().U32(0x7000).U64(kCodeStart).U64(1).Uleb(0)).fdes.empty());
  CHECK(entries_of(Bytes().U32(good.size() + 4 - 5).U64(kCodeStart).U64(1).Uleb(0)).fdes.empty());
  CHECK(entries_of(Bytes().U32(4).U64(kCodeStart).U64(1).Uleb(0)).fdes.empty());
  // No code, or past the end of all addresses.
  CHECK(entries_of(Bytes().U32(good.size() + 4).U64(kCodeStart).U64(0).Uleb(0)).fdes.empty());
  CHECK(
      entries_of(Bytes().U32(good.size() + 4).U64(~std::uint64_t{0}).U64(9).Uleb(0)).fdes.empty());
  // Augmentation data longer than the entry.
  CHECK(entries_of(Bytes().U32(good.size() + 4).U64(kCodeStart).U64(9).Uleb(1000)).fdes.empty());
  // An entry longer than the section ends it.
  Bytes section = good;
  section.U32(0x7fffffff).U32(section.size() + 4);
  CHECK(Read(section).malformed == 1);
  CHECK(Read(Bytes().U32(0xffffffff).U64(~std::uint64_t{0})).malformed == 1);
  CHECK(Read({}).fdes.empty());
}

TEST_CASE("CFI: truncated and altered sections") {
  Bytes section = UsualCie("zRS");
  for (std::uint64_t i = 0; i < 4; ++i) {
    section.Append(
        UsualFde(section.size(), kCodeStart + 0x100u * i, 0x80, Bytes().List({0x41, 0x0e, 16})));
  }
  REQUIRE(Read(section).fdes.size() == 4);
  const std::span<const std::byte> all(section.get());
  for (std::size_t size = 0; size < all.size(); ++size) {
    const CfiEntries entries = ReadCfiEntries(all.first(size), 0, CfiFormat::kEhFrame);
    CHECK(entries.fdes.size() < 4);
  }
  std::minstd_rand random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> altered(all.begin(), all.end());
    for (unsigned i = 0; i < 1 + random() % 8; ++i) {
      altered[random() % altered.size()] = static_cast<std::byte>(random() >> 8);
    }
    for (const CfiFormat format : {CfiFormat::kEhFrame, CfiFormat::kDebugFrame}) {
      const CfiEntries entries = ReadCfiEntries(altered, random(), format);
      for (const Fde& fde : entries.fdes) {
        REQUIRE(fde.cie < entries.cies.size());
        REQUIRE(fde.start + fde.size > fde.start);
      }
    }
  }
}

}  // namespace agent::unwind
