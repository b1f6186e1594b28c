// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/unwind_info.h"

#include "agent/base/byte_reader.h"
#include "spies/unwind/dotnet_epilog.h"

namespace agent::dotnet {
namespace {

using Numbers = RegisterNumbers;

constexpr std::uint8_t kRsp = 4;
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

Result<std::size_t> UnwindInfo::SizeOf(std::span<const std::byte> head) {
  if (head.size() < kHeadSize) return Fail(Errc::kMalformed, "unwind information ends early");
  constexpr unsigned kVersionMask = 7;
  constexpr unsigned kChained = 4u << 3;
  const auto first = static_cast<unsigned>(head[0]);
  if ((first & kVersionMask) != 1 || (first & kChained) != 0) {
    return Fail(Errc::kUnsupported, "form of unwind information");
  }
  return kHeadSize + std::size_t{static_cast<std::uint8_t>(head[2])} * sizeof(std::uint16_t);
}

Result<UnwindInfo> UnwindInfo::Parse(std::span<const std::byte> bytes) {
  AGENT_TRY(const std::size_t size, SizeOf(bytes));
  if (bytes.size() < size) return Fail(Errc::kMalformed, "unwind information ends early");
  UnwindInfo info;
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

Result<void> UnwindInfo::Undo(const ThreadSnapshot& snapshot, std::uint32_t offset,
                              Registers& registers) const {
  const auto is_done = [&](const Step& step) {
    return offset >= prolog_size_ || step.at <= offset;
  };
  // What was saved lies above where the stack pointer is when the prolog is over.
  std::uint64_t base = registers.sp();
  for (const Step& step : steps_) {
    if (step.operation == Operation::kFromFramePointer && is_done(step)) {
      base = registers.values[step.number] - step.value;
    }
  }
  for (const Step& step : steps_) {
    if (!is_done(step)) continue;
    switch (step.operation) {
      case Operation::kPop:
        AGENT_CHECK_OK(unwind::PopRegister(snapshot, step.number, registers));
        break;
      case Operation::kAdd:
        registers.values[Numbers::kSp] += step.value;
        break;
      case Operation::kFromFramePointer:
        registers.values[Numbers::kSp] = base;
        break;
      case Operation::kRestore:
        AGENT_TRY(registers.values[step.number],
                  unwind::ReadStackWord(snapshot, base + step.value));
        break;
    }
  }
  AGENT_TRY(registers.values[Numbers::kPc], unwind::ReadStackWord(snapshot, registers.sp()));
  registers.values[Numbers::kSp] += kWord;
  return {};
}

}  // namespace agent::dotnet
