// SPDX-License-Identifier: Apache-2.0
// Arm Architecture Reference Manual for A-profile, C4.1 "A64 instruction set encoding".
#include <array>

#include "agent/base/byte_reader.h"
#include "spies/python/code_references.h"

namespace agent::python {
namespace {

// The `bits` bits from `low` on, as a signed number.
std::uint64_t Signed(std::uint32_t instruction, unsigned low, unsigned bits) {
  const std::uint64_t top = std::uint64_t{instruction} << (64 - bits - low);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(top) >> (64 - bits));
}

bool Is(std::uint32_t instruction, std::uint32_t mask, std::uint32_t value) {
  return (instruction & mask) == value;
}

}  // namespace

CodeReferences ReadReferencesAarch64(std::span<const std::byte> code, std::uint64_t address) {
  constexpr std::uint64_t kPageMask = 4095;
  CodeReferences found;
  std::array<std::uint64_t, 32> pages{};  // what adrp has put into each register
  ByteReader reader(code);
  for (; reader.left() >= sizeof(std::uint32_t); address += sizeof(std::uint32_t)) {
    const auto one = reader.Read<std::uint32_t>();
    if (Is(one, 0xfc000000, 0x14000000)) {  // b
      found.jumps.push_back(address + 4 * Signed(one, 0, 26));
    } else if (Is(one, 0xfc000000, 0x94000000)) {  // bl
      found.calls.push_back(address + 4 * Signed(one, 0, 26));
    } else if (Is(one, 0xff000000, 0x54000000) || Is(one, 0x7e000000, 0x34000000)) {  // b.cond, cbz
      found.jumps.push_back(address + 4 * Signed(one, 5, 19));
    } else if (Is(one, 0x7e000000, 0x36000000)) {  // tbz
      found.jumps.push_back(address + 4 * Signed(one, 5, 14));
    } else if (Is(one, 0x1f000000, 0x10000000)) {  // adr, adrp
      const std::uint64_t distance = 4 * Signed(one, 5, 19) + (one >> 29 & 3);
      const bool is_page = one >> 31 != 0;
      if (is_page) pages[one & 31] = (address & ~kPageMask) + (distance << 12);
      if (!is_page) found.data.push_back(address + distance);
    } else if (Is(one, 0xffc00000, 0x91000000)) {  // add of an immediate operand
      const std::uint64_t page = pages[one >> 5 & 31];
      if (page != 0) found.data.push_back(page + (one >> 10 & kPageMask));
    }
  }
  return found;
}

}  // namespace agent::python
