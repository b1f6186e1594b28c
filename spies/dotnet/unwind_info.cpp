// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/unwind_info.h"

#include <array>

#include "agent/base/byte_reader.h"

namespace agent::dotnet {
namespace {

using Numbers = RegisterNumbers;

// rax rcx rdx rbx rsp rbp rsi rdi r8-r15, by their DWARF numbers.
constexpr std::array<std::uint8_t, 16> kDwarfNumbers = {0, 2, 1,  3,  7,  6,  4,  5,
                                                        8, 9, 10, 11, 12, 13, 14, 15};
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

Result<std::uint64_t> Word(const ThreadSnapshot& snapshot, std::uint64_t address) {
  const std::optional<std::uint64_t> word = snapshot.ReadWord(address);
  if (!word) return Fail(Errc::kUnreadable, "the stack was not copied that far");
  return *word;
}

Result<void> Pop(const ThreadSnapshot& snapshot, std::uint8_t number, Registers& registers) {
  AGENT_TRY(registers.values[number], Word(snapshot, registers.sp()));
  if (number != Numbers::kSp) registers.values[Numbers::kSp] += kWord;
  return {};
}

// The instructions of an epilog at the front of some code.
class EpilogReader {
 public:
  explicit EpilogReader(std::span<const std::byte> code) : code_(code) {}

  [[nodiscard]] std::uint8_t At(std::size_t index) const {
    return at_ + index < code_.size() ? static_cast<std::uint8_t>(code_[at_ + index]) : 0;
  }
  [[nodiscard]] std::size_t position() const { return at_; }

  bool Take(std::initializer_list<std::uint8_t> bytes) {
    std::size_t index = 0;
    for (const std::uint8_t byte : bytes) {
      if (At(index++) != byte) return false;
    }
    if (at_ + index > code_.size()) return false;
    at_ += index;
    return true;
  }
  /// The number behind, sign-extended.
  template <typename T>
  std::uint64_t TakeNumber() {
    ByteReader reader(code_.subspan(at_));
    const auto number = reader.Read<T>();
    at_ += sizeof(T);
    if (at_ > code_.size()) at_ = code_.size();
    return static_cast<std::uint64_t>(std::int64_t{number});
  }

 private:
  std::span<const std::byte> code_;
  std::size_t at_ = 0;
};

// Whether the code leaves the function: returns, or jumps to where its caller is not to come back
// from. The JIT marks such jumps by REX.W, which a switch's jump does not have.
bool TakeLeave(EpilogReader& reader, std::uint64_t pc, std::uint64_t begin, std::uint64_t end) {
  if (reader.Take({0xc3}) || reader.Take({0xf3, 0xc3})) return true;
  std::optional<std::uint64_t> distance;
  if (reader.Take({0xeb})) {
    distance = reader.TakeNumber<std::int8_t>();
  } else if (reader.Take({0xe9})) {
    distance = reader.TakeNumber<std::int32_t>();
  }
  if (distance) {
    const std::uint64_t target = pc + reader.position() + *distance;
    return target < begin || target >= end;
  }
  if (reader.Take({0xff, 0x25})) return true;
  const bool has_rex_w = (reader.At(0) & 0xf8) == 0x48;
  return has_rex_w && reader.At(1) == 0xff && (reader.At(2) & 0x38) == 0x20;
}

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
  const std::uint8_t frame_register = kDwarfNumbers[frame & 15];
  constexpr std::uint32_t kFrameUnit = 16;
  ByteReader reader(bytes.subspan(kHeadSize, size - kHeadSize));
  while (reader.ok() && !reader.AtEnd()) {
    Step step{.operation = Operation::kAdd, .at = reader.Read<std::uint8_t>()};
    const auto code = reader.Read<std::uint8_t>();
    const auto detail = static_cast<std::uint8_t>(code >> 4);
    switch (code & 15) {
      case kPushNonvolatile:
        step.operation = Operation::kPop;
        step.number = kDwarfNumbers[detail];
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
        step.number = kDwarfNumbers[detail];
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
        AGENT_CHECK_OK(Pop(snapshot, step.number, registers));
        break;
      case Operation::kAdd:
        registers.values[Numbers::kSp] += step.value;
        break;
      case Operation::kFromFramePointer:
        registers.values[Numbers::kSp] = base;
        break;
      case Operation::kRestore:
        AGENT_TRY(registers.values[step.number], Word(snapshot, base + step.value));
        break;
    }
  }
  AGENT_TRY(registers.values[Numbers::kPc], Word(snapshot, registers.sp()));
  registers.values[Numbers::kSp] += kWord;
  return {};
}

Result<bool> FinishEpilog(const ThreadSnapshot& snapshot, std::span<const std::byte> code,
                          std::uint64_t begin, std::uint64_t end, Registers& registers) {
  EpilogReader reader(code);
  Registers after = registers;
  static_cast<void>(reader.Take({0xc5, 0xf8, 0x77}));  // vzeroupper
  std::uint64_t& sp = after.values[Numbers::kSp];
  if (reader.Take({0x48, 0x83, 0xc4})) {
    sp += reader.TakeNumber<std::int8_t>();
  } else if (reader.Take({0x48, 0x81, 0xc4})) {
    sp += reader.TakeNumber<std::int32_t>();
  } else if (reader.Take({0x48, 0x8d, 0x65})) {
    sp = after.fp() + reader.TakeNumber<std::int8_t>();
  } else if (reader.Take({0x48, 0x8d, 0xa5})) {
    sp = after.fp() + reader.TakeNumber<std::int32_t>();
  }
  std::array<std::uint8_t, kLongestEpilog> popped;  // NOLINT: filled up to `count`
  std::size_t count = 0;
  for (;;) {
    const bool high = reader.At(0) == 0x41;
    const std::uint8_t pop = reader.At(high ? 1 : 0);
    if ((pop & 0xf8) != 0x58 || count == popped.size()) break;
    popped[count++] = kDwarfNumbers[(pop & 7) + (high ? 8u : 0u)];
    if (high) {
      static_cast<void>(reader.Take({0x41, pop}));
    } else {
      static_cast<void>(reader.Take({pop}));
    }
  }
  if (!TakeLeave(reader, registers.pc(), begin, end)) return false;
  for (const std::uint8_t number : std::span(popped).first(count)) {
    AGENT_CHECK_OK(Pop(snapshot, number, after));
  }
  AGENT_CHECK_OK(Pop(snapshot, Numbers::kPc, after));
  registers = after;
  return true;
}

}  // namespace agent::dotnet
