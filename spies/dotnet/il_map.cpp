// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/il_map.h"

#include <algorithm>

#include "agent/base/byte_reader.h"

namespace agent::dotnet {
namespace {

// Before the bounds, each if its bit is set: where the frame of an OSR method has its locals, and
// what was inlined.
constexpr unsigned kHasPatchpoint = 1;
constexpr unsigned kHasRichInfo = 2;
constexpr std::uint32_t kMaxLocals = 1u << 16;
// Offsets of IL are stored with this added: a prologue and an epilogue have negative ones.
constexpr std::uint32_t kIlBias = 3;
constexpr std::uint32_t kEpilogue = 0;
constexpr std::uint32_t kPrologue = 1;
constexpr std::uint32_t kNoIl = 2;
constexpr unsigned kSourceBits = 2;

// Numbers of four bits, low ones first, each with three bits of a value and one for "more follows".
class NibbleReader {
 public:
  explicit NibbleReader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint32_t Read() {
    std::uint32_t value = 0;
    for (;;) {
      if (next_ / 2 >= bytes_.size()) {
        ok_ = false;
        return 0;
      }
      const auto byte = std::to_integer<unsigned>(bytes_[next_ / 2]);
      const unsigned nibble = next_ % 2 == 0 ? byte & 15 : byte >> 4;
      ++next_;
      value = value << 3 | (nibble & 7);
      if ((nibble & 8) == 0) return value;
    }
  }
  [[nodiscard]] std::size_t NextByte() const { return (next_ + 1) / 2; }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  std::span<const std::byte> bytes_;
  std::size_t next_ = 0;
  bool ok_ = true;
};

// Low bits first.
class BitReader {
 public:
  explicit BitReader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint32_t Read(unsigned bits) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < bits; ++i, ++next_) {
      if (next_ / 8 >= bytes_.size()) {
        ok_ = false;
        return 0;
      }
      const auto byte = std::to_integer<std::uint32_t>(bytes_[next_ / 8]);
      value |= (byte >> (next_ % 8) & 1) << i;
    }
    return value;
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  std::span<const std::byte> bytes_;
  std::size_t next_ = 0;
  bool ok_ = true;
};

struct Entry {
  std::uint32_t native_delta = 0;
  std::uint32_t il = 0;  // and kIlBias
};

Result<std::vector<Entry>> ReadEntries(std::span<const std::byte> bytes, bool packed) {
  NibbleReader nibbles(bytes);
  const std::uint32_t count = nibbles.Read();
  if (count > bytes.size() * 2) return Fail(Errc::kMalformed, "number of bounds");
  std::vector<Entry> entries(count);
  if (!packed) {
    for (Entry& entry : entries) {
      entry.native_delta = nibbles.Read();
      entry.il = nibbles.Read();
      static_cast<void>(nibbles.Read());  // why there is a bound
    }
    if (!nibbles.ok()) return Fail(Errc::kMalformed, "bounds are cut off");
    return entries;
  }
  const unsigned native_bits = nibbles.Read() + 1;
  const unsigned il_bits = nibbles.Read() + 1;
  if (!nibbles.ok() || native_bits > 32 || il_bits > 32) {
    return Fail(Errc::kMalformed, "width of bounds");
  }
  BitReader bits(bytes.subspan(std::min(nibbles.NextByte(), bytes.size())));
  for (Entry& entry : entries) {
    static_cast<void>(bits.Read(kSourceBits));
    entry.native_delta = bits.Read(native_bits);
    entry.il = bits.Read(il_bits);
  }
  if (!bits.ok()) return Fail(Errc::kMalformed, "bounds are cut off");
  return entries;
}

}  // namespace

Result<IlMap> IlMap::Decode(std::span<const std::byte> bytes, const Layout::DebugInfo& layout) {
  ByteReader reader(bytes);
  const auto flags = std::to_integer<unsigned>(reader.Read<std::byte>());
  if ((flags & ~(kHasPatchpoint | kHasRichInfo)) != 0) return Fail(Errc::kMalformed, "debug info");
  if ((flags & kHasPatchpoint) != 0) {
    const std::size_t start = reader.position();
    reader.Skip(layout.patchpoint_locals);
    const auto locals = reader.Read<std::uint32_t>();
    if (locals > kMaxLocals) return Fail(Errc::kMalformed, "number of locals");
    reader.Seek(start);
    reader.Skip(layout.patchpoint_size + std::uint64_t{4} * locals);
  }
  if ((flags & kHasRichInfo) != 0) reader.Skip(reader.Read<std::uint32_t>());
  if (!reader.ok()) return Fail(Errc::kMalformed, "debug info is cut off");
  return DecodePrecompiled(bytes.subspan(reader.position()), layout.packed_bounds);
}

Result<IlMap> IlMap::DecodePrecompiled(std::span<const std::byte> bytes, bool packed_bounds) {
  NibbleReader sizes(bytes);
  const std::uint32_t size = sizes.Read();
  static_cast<void>(sizes.Read());  // of what is known of variables
  if (size > kMaxBytes) return Fail(Errc::kLimit, "debug info is too long");
  ByteReader reader(bytes);
  reader.Skip(sizes.NextByte());
  const std::span<const std::byte> bounds = reader.Take(size);
  if (!sizes.ok() || !reader.ok()) return Fail(Errc::kMalformed, "debug info is cut off");
  IlMap map;
  if (bounds.empty()) return map;
  AGENT_TRY(const std::vector<Entry> entries, ReadEntries(bounds, packed_bounds));
  std::uint32_t native = 0;
  std::uint32_t last = 0;
  for (const Entry& entry : entries) {
    native += entry.native_delta;
    if (entry.il == kNoIl) continue;
    // The epilogue is the last thing that the method does.
    const std::uint32_t il = entry.il == kPrologue   ? 0
                             : entry.il == kEpilogue ? last
                                                     : entry.il - kIlBias;
    last = std::max(last, il);
    map.bounds_.push_back({native, il});
  }
  if (!std::ranges::is_sorted(map.bounds_, {}, &Bound::native)) {
    return Fail(Errc::kMalformed, "bounds are not in order");
  }
  return map;
}

std::optional<std::uint32_t> IlMap::At(std::uint64_t offset) const {
  const auto after = std::ranges::upper_bound(bounds_, offset, {}, &Bound::native);
  if (after == bounds_.begin()) return std::nullopt;
  return std::prev(after)->il;
}

}  // namespace agent::dotnet
