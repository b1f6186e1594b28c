// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/eh_frame.h"

#include <elf.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/byte_reader.h"
#include "spies/unwind/cfi_reader.h"

namespace agent::unwind {
namespace {

struct LoadedEhFrame {
  std::uint64_t address = 0;
  std::vector<std::byte> bytes;
};

constexpr std::size_t kMaxEhFrame = std::size_t{1} << 30;

// The bytes up to the entry of length zero that ends them.
std::span<const std::byte> UpToTerminator(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  while (reader.left() >= sizeof(std::uint32_t)) {
    const std::size_t position = reader.position();
    std::uint64_t length = reader.Read<std::uint32_t>();
    if (length == 0) return bytes.first(position);
    if (length == 0xffffffff) length = reader.Read<std::uint64_t>();
    if (length > reader.left()) return bytes.first(position);
    reader.Skip(length);
  }
  return bytes.first(bytes.size() - reader.left());
}

// Where .eh_frame_hdr says that it is.
std::optional<LoadedEhFrame> EhFrameByHeader(const ElfFile& elf) {
  const auto segment = elf.FindSegment(PT_GNU_EH_FRAME);
  if (!segment) return std::nullopt;
  const std::vector<std::byte> header = elf.ReadLoaded(segment->address, 12);
  ByteReader reader(header);
  const auto version = reader.Read<std::uint8_t>();
  const auto encoding = reader.Read<std::uint8_t>();
  reader.Skip(2);
  constexpr std::uint8_t kPcRelSdata4 = 0x1b;  // what every linker writes
  const std::int64_t distance = reader.Read<std::int32_t>();
  if (!reader.ok() || version != 1 || encoding != kPcRelSdata4) return std::nullopt;
  LoadedEhFrame found;
  found.address =
      static_cast<std::uint64_t>(segment->address) + 4 + static_cast<std::uint64_t>(distance);
  found.bytes = elf.ReadLoaded(ElfAddress{found.address}, kMaxEhFrame);
  return found;
}

// Neither header nor sections: the first CIE has a form of its own.
std::optional<LoadedEhFrame> EhFrameByScan(const ElfFile& elf) {
  // An id of zero, version 1, and the augmentation of C or of C++ with personality routines.
  using namespace std::string_view_literals;
  for (const ElfSegment& segment : elf.load_segments()) {
    const std::vector<std::byte> bytes = elf.ReadLoaded(segment.address, kMaxEhFrame);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (const std::string_view start : {"\0\0\0\0\1zR\0"sv, "\0\0\0\0\1zPLR\0"sv}) {
      const std::size_t at = text.find(start);
      if (at == std::string_view::npos || at < sizeof(std::uint32_t)) continue;
      const std::size_t begin = at - sizeof(std::uint32_t);
      return LoadedEhFrame{
          .address = static_cast<std::uint64_t>(segment.address) + begin,
          .bytes = {bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.end()}};
    }
  }
  return std::nullopt;
}

}  // namespace

EhFrame::EhFrame(const ElfFile& elf) {
  if (const auto section = elf.ReadSection(".eh_frame")) {
    address = static_cast<std::uint64_t>(section->address);
    bytes = section->bytes;
    return;
  }
  auto found = EhFrameByHeader(elf);
  if (!found) found = EhFrameByScan(elf);
  if (!found) return;
  address = found->address;
  owned = std::move(found->bytes);
  bytes = UpToTerminator(owned);
}

FdeIndex MakeFdeIndex(const ElfFile& elf) {
  const EhFrame frame(elf);
  FdeIndex index{.base = frame.address, .entries = {}};
  const CfiEntries entries = ReadCfiEntries(frame.bytes, frame.address, CfiFormat::kEhFrame);
  for (const Fde& fde : entries.fdes) {
    const auto distance = static_cast<std::int64_t>(fde.start - index.base);
    constexpr std::int64_t kFarthest = std::numeric_limits<std::int32_t>::max();
    if (distance < -kFarthest || distance > kFarthest) continue;
    index.entries.push_back({.function = static_cast<std::int32_t>(distance),
                             .fde = static_cast<std::int32_t>(fde.offset)});
  }
  std::ranges::sort(index.entries, {}, &FdeReference::function);
  return index;
}

}  // namespace agent::unwind
