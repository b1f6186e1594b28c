// SPDX-License-Identifier: Apache-2.0
// Encodings: Arm Architecture Reference Manual for A-profile, C4.1.
#include "tests/live/arm64_machine.h"

#include <cstring>

namespace agent::live {
namespace {

constexpr std::uint32_t kFloat = 1u << 26;
constexpr std::uint32_t kFp = 29;
constexpr std::uint32_t kLr = 30;
constexpr std::uint64_t kWord = 8;

std::uint32_t Bits(std::uint32_t instruction, unsigned from, unsigned count) {
  return instruction >> from & ((1u << count) - 1);
}

std::uint64_t SignedBits(std::uint32_t instruction, unsigned from, unsigned count) {
  const std::uint64_t value = Bits(instruction, from, count);
  const std::uint64_t sign = std::uint64_t{1} << (count - 1);
  return (value ^ sign) - sign;
}

bool Is(std::uint32_t instruction, std::uint32_t mask, std::uint32_t value) {
  return (instruction & mask) == value;
}

}  // namespace

void Arm64Machine::Reset(std::uint64_t number) {
  salt_ = number << 8;
  for (std::size_t i = 0; i < kSp; ++i) registers[i] = Original(i);
  registers[kSp] = kTop;
  saved = 0;
}

std::uint64_t Arm64Machine::Original(std::size_t number) const {
  return std::uint64_t{1} << 56 | salt_ | number;
}

void Arm64Machine::Spoil(std::size_t number) {
  registers[number] = std::uint64_t{1} << 57 | salt_ | number;
}

// Number 31 is the stack pointer, or zero.
std::uint64_t Arm64Machine::ValueOf(std::uint32_t number, bool is_sp) const {
  return number == kSp && !is_sp ? 0 : registers[number];
}

void Arm64Machine::Set(std::uint32_t number, std::uint64_t value, bool is_sp) {
  if (number != kSp || is_sp) registers[number] = value;
}

// Whether the register points into the stack, and not, as a funclet's frame pointer, elsewhere.
bool Arm64Machine::IsFrame(std::uint32_t base) const {
  return base == kSp || (base == kFp && registers[base] - kStack < kStackSize);
}

// Of a whole register, or of another one's size, which nobody saves.
bool Arm64Machine::Access(std::uint32_t instruction, std::uint32_t number, std::uint64_t address,
                          bool is_load) {
  auto& bytes = snapshot.stacks[0].bytes;
  const std::uint64_t at = address - kStack;
  if (at > bytes.size() - kWord || bytes.size() < kWord) return false;
  if ((instruction & kFloat) != 0) return true;
  if (is_load) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, kWord);
    Set(number, value, false);
    return true;
  }
  const std::uint64_t value = ValueOf(number, false);
  std::memcpy(bytes.data() + at, &value, kWord);
  if (number <= kLr && value == Original(number)) saved |= 1u << number;
  return true;
}

// ldp, stp
bool Arm64Machine::DoPair(std::uint32_t instruction) {
  const bool is_float = (instruction & kFloat) != 0;
  const std::uint32_t size = Bits(instruction, 30, 2);
  const std::uint32_t base = Bits(instruction, 5, 5);
  const std::uint32_t mode = Bits(instruction, 23, 2);  // behind, at, before
  const bool is_load = Bits(instruction, 22, 1) != 0;
  const std::uint64_t scale = is_float ? std::uint64_t{4} << size : size == 2 ? kWord : 4;
  const std::uint64_t moved = ValueOf(base, true) + SignedBits(instruction, 15, 7) * scale;
  const std::uint64_t address = mode == 1 ? ValueOf(base, true) : moved;
  if (!IsFrame(base)) {
    if (is_load && !is_float) {
      if (Bits(instruction, 0, 5) < kSp) Spoil(Bits(instruction, 0, 5));
      if (Bits(instruction, 10, 5) < kSp) Spoil(Bits(instruction, 10, 5));
    }
  } else if (scale == kWord || is_float) {
    if (!Access(instruction, Bits(instruction, 0, 5), address, is_load)) return false;
    if (!Access(instruction, Bits(instruction, 10, 5), address + scale, is_load)) return false;
  }
  if (mode == 1 || mode == 3) Set(base, moved, true);
  return true;
}

// ldr, str
bool Arm64Machine::DoSingle(std::uint32_t instruction, bool is_indexed) {
  const std::uint32_t size = Bits(instruction, 30, 2);
  const std::uint32_t number = Bits(instruction, 0, 5);
  const std::uint32_t base = Bits(instruction, 5, 5);
  const bool is_float = (instruction & kFloat) != 0;
  const bool is_load = Bits(instruction, 22, 2) != 0;
  std::uint64_t address = ValueOf(base, true);
  std::uint64_t moved = address;
  if (is_indexed) {
    const std::uint32_t mode = Bits(instruction, 10, 2);  // at, behind, -, before
    moved += SignedBits(instruction, 12, 9);
    if (mode != 1) address = moved;
    if (mode == 0) moved = ValueOf(base, true);
  } else {
    address += std::uint64_t{Bits(instruction, 10, 12)} << size;
  }
  if (IsFrame(base) && (size == 3 || is_float)) {
    if (!Access(instruction, number, address, is_load)) return false;
  } else if (is_load && !is_float && number < kSp) {
    Spoil(number);
  }
  if (moved != ValueOf(base, true)) Set(base, moved, true);
  return true;
}

Arm64Step Arm64Machine::Do(std::uint32_t instruction, std::uint64_t pc) {
  const std::uint32_t to = Bits(instruction, 0, 5);
  const std::uint32_t from = Bits(instruction, 5, 5);
  bool is_in_stack = true;
  if (Is(instruction, 0xfc000000, 0x14000000)) {  // b
    target = pc + SignedBits(instruction, 0, 26) * 4;
    return Arm64Step::kJump;
  }
  if (Is(instruction, 0xff000000, 0x54000000) || Is(instruction, 0x7e000000, 0x34000000)) {
    target = pc + SignedBits(instruction, 5, 19) * 4;  // b.cond; cbz, cbnz
    return Arm64Step::kJump;
  }
  if (Is(instruction, 0x7e000000, 0x36000000)) {  // tbz, tbnz
    target = pc + SignedBits(instruction, 5, 14) * 4;
    return Arm64Step::kJump;
  }
  if (Is(instruction, 0xfc000000, 0x94000000) || Is(instruction, 0xfffffc1f, 0xd63f0000)) {
    return Arm64Step::kCall;  // bl, blr
  }
  if (Is(instruction, 0xfe000000, 0xd6000000) || Is(instruction, 0xff000000, 0xd4000000)) {
    return Arm64Step::kLeave;  // ret, br; brk and other exceptions
  }
  if (Is(instruction, 0x3a000000, 0x28000000)) {
    is_in_stack = DoPair(instruction);
  } else if (Is(instruction, 0x3b000000, 0x39000000)) {
    is_in_stack = DoSingle(instruction, false);
  } else if (Is(instruction, 0x3b200000, 0x38000000)) {
    is_in_stack = DoSingle(instruction, true);
  } else if (Is(instruction, 0x0a000000, 0x08000000)) {
    // Other loads and stores: in no frame.
    if (Bits(instruction, 22, 1) != 0 && (instruction & kFloat) == 0 && to < kSp) Spoil(to);
  } else if (Is(instruction, 0x9f800000, 0x91000000)) {  // add, sub of a number
    const std::uint64_t value = std::uint64_t{Bits(instruction, 10, 12)}
                                << (Bits(instruction, 22, 1) != 0 ? 12 : 0);
    const bool sets_flags = Bits(instruction, 29, 1) != 0;
    const std::uint64_t base = ValueOf(from, true);
    Set(to, Bits(instruction, 30, 1) != 0 ? base - value : base + value, !sets_flags);
  } else if (Is(instruction, 0x9fe0fc00, 0x8b206000)) {  // add, sub of a register, with sp
    const std::uint64_t value = ValueOf(Bits(instruction, 16, 5), false);
    const std::uint64_t base = ValueOf(from, true);
    const bool sets_flags = Bits(instruction, 29, 1) != 0;
    Set(to, Bits(instruction, 30, 1) != 0 ? base - value : base + value, !sets_flags);
  } else if (Is(instruction, 0xffe0ffe0, 0xaa0003e0)) {  // mov
    Set(to, ValueOf(Bits(instruction, 16, 5), false), false);
  } else if (Is(instruction, 0xff800000, 0xd2800000)) {  // movz
    Set(to, std::uint64_t{Bits(instruction, 5, 16)} << 16 * Bits(instruction, 21, 2), false);
  } else if (Is(instruction, 0xff800000, 0xf2800000)) {  // movk
    const unsigned shift = 16 * Bits(instruction, 21, 2);
    const std::uint64_t rest = ValueOf(to, false) & ~(std::uint64_t{0xffff} << shift);
    Set(to, rest | std::uint64_t{Bits(instruction, 5, 16)} << shift, false);
  } else if (Is(instruction, 0x1c000000, 0x10000000) || Is(instruction, 0x0e000000, 0x0a000000)) {
    if (to < kSp) Spoil(to);  // whatever else has a register as its result
  }
  const std::uint64_t sp = registers[kSp];
  if (!is_in_stack || sp < kStack + 4096 || sp > kTop + 2048) return Arm64Step::kLost;
  return Arm64Step::kNext;
}

}  // namespace agent::live
