// SPDX-License-Identifier: Apache-2.0
// DWARF 5, section 6.4.1; the differences of .eh_frame: Linux Standard Base, "Exception Frames".
#include "spies/unwind/cfi_reader.h"

#include <optional>
#include <string_view>
#include <unordered_map>

#include "agent/base/byte_reader.h"

namespace agent::unwind {
namespace {

constexpr std::uint8_t kOmit = 0xff;
constexpr std::uint8_t kAligned = 0x50;
constexpr std::uint32_t kBadCie = ~0u;
// Real ones have some 30 bytes. Each entry that refers to it runs its instructions again.
constexpr std::size_t kMaxCie = 1024;

// Pointer encodings (DW_EH_PE_*): the low four bits say the form, the others what it is relative
// to. `place` is the address of the value itself.
std::uint64_t ReadPointer(ByteReader& reader, std::uint8_t encoding, std::uint64_t place) {
  std::uint64_t value = 0;
  switch (encoding & 0x0f) {
    case 0x0:
    case 0x4:
    case 0xc:
      value = reader.Read<std::uint64_t>();
      break;
    case 0x1:
      value = reader.ReadUleb();
      break;
    case 0x2:
      value = reader.Read<std::uint16_t>();
      break;
    case 0x3:
      value = reader.Read<std::uint32_t>();
      break;
    case 0x9:
      value = static_cast<std::uint64_t>(reader.ReadSleb());
      break;
    case 0xa:
      value = static_cast<std::uint64_t>(std::int64_t{reader.Read<std::int16_t>()});
      break;
    case 0xb:
      value = static_cast<std::uint64_t>(std::int64_t{reader.Read<std::int32_t>()});
      break;
    default:
      reader.Skip(~std::uint64_t{0});
      return 0;
  }
  return (encoding & 0x70) == 0x10 ? value + place : value;
}

// Function starts that are relative to anything but their own place do not occur in linked files.
bool CanRead(std::uint8_t encoding) {
  return (encoding & 0x80) == 0 && ((encoding & 0x70) == 0 || (encoding & 0x70) == 0x10);
}

std::optional<Cie> ReadCie(std::span<const std::byte> body, std::uint64_t address) {
  ByteReader reader(body);
  Cie cie;
  const auto version = reader.Read<std::uint8_t>();
  if (version != 1 && version != 3 && version != 4) return std::nullopt;
  std::string_view augmentation = reader.ReadString();
  if (version == 4) {
    if (reader.Read<std::uint8_t>() != sizeof(std::uint64_t)) return std::nullopt;
    if (reader.Read<std::uint8_t>() != 0) return std::nullopt;  // segmented
  }
  cie.code_alignment = reader.ReadUleb();
  cie.data_alignment = reader.ReadSleb();
  cie.return_column = version == 1 ? reader.Read<std::uint8_t>() : reader.ReadUleb();
  if (augmentation.starts_with('z')) {
    augmentation.remove_prefix(1);
    cie.has_augmentation_data = true;
    const std::uint64_t size = reader.ReadUleb();
    const std::size_t end = reader.position() + static_cast<std::size_t>(size);
    if (size > reader.left()) return std::nullopt;
    for (const char letter : augmentation) {
      if (letter == 'R') {
        cie.pointer_encoding = reader.Read<std::uint8_t>();
      } else if (letter == 'L') {
        reader.Skip(1);
      } else if (letter == 'P') {
        const auto encoding = reader.Read<std::uint8_t>();
        if (encoding == kAligned) return std::nullopt;
        if (encoding != kOmit) static_cast<void>(ReadPointer(reader, encoding, address));
      } else if (letter == 'S') {
        cie.is_signal_frame = true;
      } else if (letter != 'B' && letter != 'G') {  // aarch64: key of signed return addresses; MTE
        break;
      }
    }
    reader.Seek(end);
  } else if (!augmentation.empty()) {
    return std::nullopt;
  }
  cie.instructions = reader.Take(reader.left());
  if (!reader.ok() || !CanRead(cie.pointer_encoding)) return std::nullopt;
  return cie;
}

// `address` is where `body` begins.
std::optional<Fde> ReadFde(std::span<const std::byte> body, std::uint64_t address, const Cie& cie) {
  ByteReader reader(body);
  Fde fde;
  fde.start = ReadPointer(reader, cie.pointer_encoding, address);
  fde.size = ReadPointer(reader, cie.pointer_encoding & 0x0f, 0);
  if (cie.has_augmentation_data) reader.Skip(reader.ReadUleb());
  fde.instructions = reader.Take(reader.left());
  if (!reader.ok() || fde.size == 0 || fde.start + fde.size < fde.start) return std::nullopt;
  return fde;
}

}  // namespace

CfiEntries ReadCfiEntries(std::span<const std::byte> section, std::uint64_t address,
                          CfiFormat format) {
  CfiEntries entries;
  std::unordered_map<std::uint64_t, std::uint32_t> cie_at;  // section offset → index
  ByteReader reader(section);
  const bool is_eh_frame = format == CfiFormat::kEhFrame;
  std::uint64_t last_offset = ~std::uint64_t{0};
  std::uint32_t last_cie = kBadCie;

  constexpr std::size_t kUsualFdeSize = 40;
  entries.fdes.reserve(section.size() / kUsualFdeSize);

  const auto find_cie = [&](std::uint64_t offset) -> std::uint32_t {
    if (offset == last_offset) return last_cie;
    const auto [place, inserted] = cie_at.try_emplace(offset, kBadCie);
    if (!inserted) return place->second;
    ByteReader at(section);
    at.Seek(offset < section.size() ? static_cast<std::size_t>(offset) : section.size());
    std::uint64_t length = at.Read<std::uint32_t>();
    const bool is_64 = length == 0xffffffff;
    if (is_64) length = at.Read<std::uint64_t>();
    std::uint64_t id = 0;
    const std::size_t id_size = is_64 && !is_eh_frame ? 8 : 4;
    if (id_size == 8) {
      id = at.Read<std::uint64_t>();
    } else {
      id = at.Read<std::uint32_t>();
    }
    const std::uint64_t expected =
        is_eh_frame ? 0 : (is_64 ? ~std::uint64_t{0} : std::uint64_t{0xffffffff});
    if (!at.ok() || length < id_size || id != expected) return kBadCie;
    const std::size_t body = at.position();
    const auto bytes = at.Take(length - id_size);
    if (!at.ok() || bytes.size() > kMaxCie) return kBadCie;
    if (std::optional<Cie> cie = ReadCie(bytes, address + body)) {
      place->second = static_cast<std::uint32_t>(entries.cies.size());
      entries.cies.push_back(*cie);
    } else {
      ++entries.malformed;
    }
    return place->second;
  };

  while (reader.left() >= sizeof(std::uint32_t)) {
    const std::size_t start = reader.position();
    std::uint64_t length = reader.Read<std::uint32_t>();
    // An entry of length zero ends the contribution of one linker input; others may follow.
    if (length == 0) continue;
    const bool is_64 = length == 0xffffffff;
    if (is_64) length = reader.Read<std::uint64_t>();
    const std::size_t id_position = reader.position();
    if (!reader.ok() || length > reader.left()) {
      ++entries.malformed;
      break;
    }
    const std::span<const std::byte> entry = reader.Take(length);
    ByteReader inner(entry);
    std::uint64_t id = 0;
    if (is_64 && !is_eh_frame) {
      id = inner.Read<std::uint64_t>();
    } else {
      id = inner.Read<std::uint32_t>();
    }
    if (!inner.ok()) {
      ++entries.malformed;
      continue;
    }
    const bool is_cie =
        is_eh_frame ? id == 0 : id == (is_64 ? ~std::uint64_t{0} : std::uint64_t{0xffffffff});
    if (is_cie) continue;  // read when an entry refers to it
    if (is_eh_frame && id > id_position) {
      ++entries.malformed;
      continue;
    }
    const std::uint64_t cie_offset = is_eh_frame ? id_position - id : id;
    const std::uint32_t cie = find_cie(cie_offset);
    last_offset = cie_offset;
    last_cie = cie;
    if (cie == kBadCie) {
      ++entries.malformed;
      continue;
    }
    const std::size_t body = id_position + inner.position();
    std::optional<Fde> fde =
        ReadFde(entry.subspan(inner.position()), address + body, entries.cies[cie]);
    if (!fde) {
      ++entries.malformed;
      continue;
    }
    fde->cie = cie;
    fde->offset = static_cast<std::uint32_t>(start);
    entries.fdes.push_back(*fde);
  }
  return entries;
}

}  // namespace agent::unwind
