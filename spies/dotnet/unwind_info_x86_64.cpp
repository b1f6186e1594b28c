// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/unwind_info_x86_64.h"

#include "agent/base/byte_reader.h"
#include "spies/unwind/dotnet_epilog.h"

namespace agent::dotnet {
namespace {

constexpr std::uint8_t kRsp = 4;  // x64's number
constexpr std::uint8_t kSp = 7;   // DWARF's
constexpr std::uint8_t kPc = 16;
constexpr std::uint32_t kWord = sizeof(std::uint64_t);

enum Code : std::uint8_t {
  kPushNonvolatile = 0,
  kAllocateLarge = 1,
  kAllocateSmall = 2,
  kSetFramePointer = 3,
  kSaveNonvolatile = 4,
  kSaveNonvolatileFar = 5,
  kEpilog = 6,
  kSaveXmm128 = 8,
  kSaveXmm128Far = 9,
  kSetFramePointerLarge = 11,
};

}  // namespace

Result<std::size_t> X64UnwindInfo::SizeOf(std::span<const std::byte> head) {
  if (head.size() < kHeadSize) return Fail(Errc::kMalformed, "unwind information ends early");
  constexpr unsigned kVersionMask = 7;
  constexpr unsigned kChained = 4u << 3;
  const auto first = static_cast<unsigned>(head[0]);
  if ((first & kVersionMask) != 1 || (first & kChained) != 0) {
    return Fail(Errc::kUnsupported, "form of unwind information");
  }
  return kHeadSize + std::size_t{static_cast<std::uint8_t>(head[2])} * sizeof(std::uint16_t);
}

Result<X64UnwindInfo> X64UnwindInfo::Parse(std::span<const std::byte> bytes) {
  AGENT_TRY(const std::size_t size, SizeOf(bytes));
  if (bytes.size() < size) return Fail(Errc::kMalformed, "unwind information ends early");
  X64UnwindInfo info;
  info.prolog_size_ = static_cast<std::uint8_t>(bytes[1]);
  const auto frame = static_cast<std::uint8_t>(bytes[3]);
  const std::uint8_t frame_register = unwind::kX64Registers[frame & 15];
  constexpr std::uint32_t kFrameUnit = 16;
  ByteReader reader(bytes.subspan(kHeadSize, size - kHeadSize));
  while (reader.ok() && !reader.AtEnd()) {
    Step step{.operation = Operation::kAdd, .at = reader.Read<std::uint8_t>()};
    const auto code = reader.Read<std::uint8_t>();
    const auto detail = static_cast<std::uint8_t>(code >> 4);
    switch (code & 15) {
      case kPushNonvolatile:
        step.operation = Operation::kPop;
        step.number = unwind::kX64Registers[detail];
        break;
      case kAllocateLarge:
        step.value =
            detail == 0 ? reader.Read<std::uint16_t>() * kWord : reader.Read<std::uint32_t>();
        break;
      case kAllocateSmall:
        step.value = (detail + 1u) * kWord;
        break;
      case kSetFramePointer:
      case kSetFramePointerLarge: {
        step.operation = Operation::kFromFramePointer;
        step.number = frame_register;
        const std::uint32_t units = (code & 15) == kSetFramePointer ? std::uint32_t{frame} >> 4
                                                                    : reader.Read<std::uint32_t>();
        step.value = units * kFrameUnit;
        break;
      }
      case kSaveNonvolatile:
      case kSaveNonvolatileFar:
        step.operation = Operation::kRestore;
        step.number = unwind::kX64Registers[detail];
        step.value = (code & 15) == kSaveNonvolatile ? reader.Read<std::uint16_t>() * kWord
                                                     : reader.Read<std::uint32_t>();
        break;
      case kSaveXmm128:
        reader.Skip(sizeof(std::uint16_t));
        continue;
      case kSaveXmm128Far:
        reader.Skip(sizeof(std::uint32_t));
        continue;
      default:
        return Fail(Errc::kUnsupported, "code of unwind information");
    }
    if (detail == kRsp && step.operation == Operation::kPop) {
      return Fail(Errc::kMalformed, "unwind information saves the stack pointer");
    }
    const std::uint32_t bit = std::uint32_t{1} << step.number;
    if (step.operation == Operation::kFromFramePointer) {
      info.needed_ |= bit;
    } else if (step.operation != Operation::kAdd) {
      info.restored_ |= bit;
    }
    info.steps_.push_back(step);
  }
  if (!reader.ok()) return Fail(Errc::kMalformed, "unwind information ends early");
  return info;
}

Result<void> X64UnwindInfo::Undo(const ThreadSnapshot& snapshot, std::uint32_t offset,
                                 std::span<std::uint64_t, kRegisters> registers,
                                 std::uint32_t& known) const {
  if ((needed_ & ~known) != 0) return Fail(Errc::kUnsupported, "a register is not known");
  const auto is_done = [&](const Step& step) {
    return offset >= prolog_size_ || step.at <= offset;
  };
  // What was saved lies above where the stack pointer is when the prolog is over.
  std::uint64_t base = registers[kSp];
  for (const Step& step : steps_) {
    if (step.operation == Operation::kFromFramePointer && is_done(step)) {
      base = registers[step.number] - step.value;
    }
  }
  const auto pop = [&](std::uint8_t number) -> Result<void> {
    AGENT_TRY(registers[number], unwind::ReadStackWord(snapshot, registers[kSp]));
    registers[kSp] += kWord;
    return {};
  };
  for (const Step& step : steps_) {
    if (!is_done(step)) continue;
    switch (step.operation) {
      case Operation::kPop:
        AGENT_CHECK_OK(pop(step.number));
        break;
      case Operation::kAdd:
        registers[kSp] += step.value;
        break;
      case Operation::kFromFramePointer:
        registers[kSp] = base;
        break;
      case Operation::kRestore:
        AGENT_TRY(registers[step.number], unwind::ReadStackWord(snapshot, base + step.value));
        break;
    }
  }
  known |= restored_;
  return pop(kPc);
}

}  // namespace agent::dotnet
