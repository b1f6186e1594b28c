// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/dotnet_epilog.h"

#include <array>
#include <initializer_list>

#include "agent/base/byte_reader.h"

namespace agent::unwind {
namespace {

using Numbers = RegisterNumbers;

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
bool TakeLeave(EpilogReader& reader, std::uint64_t pc, std::optional<CodeBounds> bounds) {
  const bool has_undone = reader.position() > 0;
  if (reader.Take({0xc3}) || reader.Take({0xf3, 0xc3})) return true;
  std::optional<std::uint64_t> distance;
  if (reader.Take({0xeb})) {
    distance = reader.TakeNumber<std::int8_t>();
  } else if (reader.Take({0xe9})) {
    distance = reader.TakeNumber<std::int32_t>();
  }
  if (distance) {
    const std::uint64_t target = pc + reader.position() + *distance;
    return bounds ? target < bounds->begin || target >= bounds->end : has_undone;
  }
  if (reader.Take({0xff, 0x25})) return true;
  const bool has_rex_w = (reader.At(0) & 0xf8) == 0x48;
  return has_rex_w && reader.At(1) == 0xff && (reader.At(2) & 0x38) == 0x20;
}

}  // namespace

Result<std::uint64_t> ReadStackWord(const ThreadSnapshot& snapshot, std::uint64_t address) {
  const std::optional<std::uint64_t> word = snapshot.ReadWord(address);
  if (!word) return Fail(Errc::kUnreadable, "the stack was not copied that far");
  return *word;
}

Result<void> PopRegister(const ThreadSnapshot& snapshot, std::uint8_t number,
                         Registers& registers) {
  AGENT_TRY(registers.values[number], ReadStackWord(snapshot, registers.sp()));
  if (number != Numbers::kSp) registers.values[Numbers::kSp] += sizeof(std::uint64_t);
  return {};
}

Result<bool> FinishEpilog(const ThreadSnapshot& snapshot, std::span<const std::byte> code,
                          std::optional<CodeBounds> bounds, Registers& registers) {
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
    popped[count++] = kX64Registers[(pop & 7) + (high ? 8u : 0u)];
    if (high) {
      static_cast<void>(reader.Take({0x41, pop}));
    } else {
      static_cast<void>(reader.Take({pop}));
    }
  }
  if (!TakeLeave(reader, registers.pc(), bounds)) return false;
  for (const std::uint8_t number : std::span(popped).first(count)) {
    AGENT_CHECK_OK(PopRegister(snapshot, number, after));
  }
  AGENT_CHECK_OK(PopRegister(snapshot, Numbers::kPc, after));
  registers = after;
  return true;
}

}  // namespace agent::unwind
