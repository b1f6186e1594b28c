// SPDX-License-Identifier: Apache-2.0
#include "spies/dotnet/unwind_info_aarch64.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "agent/base/byte_reader.h"

namespace agent::dotnet {
namespace {

constexpr std::uint8_t kFp = 29;
constexpr std::uint8_t kLr = 30;
constexpr std::uint8_t kSp = 31;
constexpr std::uint8_t kPc = 32;
constexpr std::uint8_t kFirstSaved = 19;
constexpr std::uint32_t kWord = sizeof(std::uint64_t);
constexpr std::uint32_t kInstruction = sizeof(std::uint32_t);
constexpr std::uint32_t kStackUnit = 16;
constexpr std::uint32_t kMaxEpilogs = 1u << 10;

struct Head {
  std::uint32_t instructions = 0;  // of the function
  std::uint32_t epilogs = 0;       // behind the head, a word for each
  std::uint32_t code_words = 0;
  std::optional<std::uint32_t> last;  // the codes of the only epilog, which ends the function
};

Result<Head> ReadHead(ByteReader& reader) {
  const auto word = reader.Read<std::uint32_t>();
  if ((word >> 18 & 3) != 0) return Fail(Errc::kUnsupported, "form of unwind information");
  Head head{.instructions = word & 0x3ffff,
            .epilogs = word >> 22 & 31,
            .code_words = word >> 27,
            .last = {}};
  if (head.epilogs == 0 && head.code_words == 0) {
    const auto more = reader.Read<std::uint32_t>();
    head.epilogs = more & 0xffff;
    head.code_words = more >> 16 & 0xff;
  }
  if ((word >> 21 & 1) != 0) head.last = std::exchange(head.epilogs, 0);
  if (!reader.ok()) return Fail(Errc::kMalformed, "unwind information ends early");
  if (head.epilogs > kMaxEpilogs) return Fail(Errc::kLimit, "epilogs of a function");
  return head;
}

enum class Operation : std::uint8_t {
  kNothing,       // of interest here: saves of floating point registers, signing of an address
  kAllocate,      // `value` bytes of the stack
  kSave,          // `count` registers from `first` on, and lr behind them
  kSetFp,         // to the stack pointer plus `value`
  kSaveNext,      // the two registers behind the next code's, where they lie behind those
  kEnd,           // of a sequence
  kEndOfPartial,  // of a prolog that another function has: its codes follow
};

// One instruction of a prolog, or the one of an epilog that undoes it.
struct Code {
  Operation operation = Operation::kNothing;
  std::uint8_t size = 1;  // its own, in bytes
  std::uint8_t first = 0;
  std::uint8_t count = 0;
  bool saves_lr = false;
  bool is_pair = false;    // of whatever registers
  bool has_moved = false;  // the stack pointer, by `value`; else what is saved lies that far above
  std::uint32_t value = 0;
};

// The codes of two bytes that save registers.
std::optional<Code> DecodeSave(std::uint32_t bits) {
  const auto number = [&](std::uint32_t shift, std::uint32_t mask) {
    return static_cast<std::uint8_t>(bits >> shift & mask);
  };
  Code code{.operation = Operation::kSave, .size = 2};
  const std::uint32_t in_place = (bits & 63) * kWord;
  const std::uint32_t moved = ((bits & 63) + 1) * kWord;
  const std::uint32_t moved_by_one = ((bits & 31) + 1) * kWord;
  const std::uint32_t kind = bits >> 10;
  if (kind == 0x32 || kind == 0x33) {  // save_regp, save_regp_x
    code.first = static_cast<std::uint8_t>(kFirstSaved + number(6, 15));
    code.count = 2;
    code.is_pair = true;
    code.has_moved = kind == 0x33;
    code.value = code.has_moved ? moved : in_place;
  } else if (kind == 0x34) {  // save_reg
    code.first = static_cast<std::uint8_t>(kFirstSaved + number(6, 15));
    code.count = 1;
    code.value = in_place;
  } else if (bits >> 9 == 0x6a) {  // save_reg_x
    code.first = static_cast<std::uint8_t>(kFirstSaved + number(5, 15));
    code.count = 1;
    code.has_moved = true;
    code.value = moved_by_one;
  } else if (bits >> 9 == 0x6b) {  // save_lrpair
    code.first = static_cast<std::uint8_t>(kFirstSaved + 2 * number(6, 7));
    code.count = 1;
    code.saves_lr = true;
    code.value = in_place;
  } else if (kind == 0x36) {  // save_fregp, save_fregp_x
    code.is_pair = true;
    code.has_moved = bits >> 9 == 0x6d;
    code.value = code.has_moved ? moved : in_place;
  } else if (bits >> 9 == 0x6e) {  // save_freg
    code.operation = Operation::kNothing;
  } else if (bits >> 8 == 0xde) {  // save_freg_x
    code.has_moved = true;
    code.value = moved_by_one;
  } else {
    return std::nullopt;
  }
  return code;
}

// The code that `bytes` begin with; nothing where it is none that CoreCLR's compilers write.
std::optional<Code> Decode(std::span<const std::byte> bytes) {
  const auto at = [&](std::size_t index) {
    return index < bytes.size() ? std::to_integer<std::uint32_t>(bytes[index]) : 0;
  };
  const std::uint32_t byte = at(0);
  std::optional<Code> code;
  if (byte < 0x20) {  // alloc_s
    code = Code{.operation = Operation::kAllocate, .value = byte * kStackUnit};
  } else if (byte < 0x40) {  // save_r19r20_x
    code = Code{.operation = Operation::kSave,
                .first = kFirstSaved,
                .count = 2,
                .is_pair = true,
                .has_moved = true,
                .value = (byte & 31) * kWord};
  } else if (byte < 0xc0) {  // save_fplr, save_fplr_x
    const bool has_moved = byte >= 0x80;
    code = Code{.operation = Operation::kSave,
                .first = kFp,
                .count = 1,
                .saves_lr = true,
                .has_moved = has_moved,
                .value = ((byte & 63) + (has_moved ? 1u : 0u)) * kWord};
  } else if (byte < 0xc8) {  // alloc_m
    code = Code{.operation = Operation::kAllocate,
                .size = 2,
                .value = ((byte & 7) << 8 | at(1)) * kStackUnit};
  } else if (byte < 0xdf) {
    code = DecodeSave(byte << 8 | at(1));
  } else if (byte == 0xe0) {  // alloc_l
    code = Code{.operation = Operation::kAllocate,
                .size = 4,
                .value = (at(1) << 16 | at(2) << 8 | at(3)) * kStackUnit};
  } else if (byte == 0xe1) {  // set_fp
    code = Code{.operation = Operation::kSetFp};
  } else if (byte == 0xe2) {  // add_fp
    code = Code{.operation = Operation::kSetFp, .size = 2, .value = at(1) * kWord};
  } else if (byte == 0xe3 || byte == 0xfc) {  // nop, pac_sign_lr
    code = Code{.operation = Operation::kNothing};
  } else if (byte == 0xe4) {
    code = Code{.operation = Operation::kEnd};
  } else if (byte == 0xe5) {
    code = Code{.operation = Operation::kEndOfPartial};
  } else if (byte == 0xe6) {
    code = Code{.operation = Operation::kSaveNext};
  }
  if (code && code->size > bytes.size()) code.reset();
  return code;
}

}  // namespace

Result<std::size_t> Arm64UnwindInfo::SizeOf(std::span<const std::byte> head) {
  ByteReader reader(head);
  AGENT_TRY(const Head read, ReadHead(reader));
  return reader.position() + std::size_t{read.epilogs + read.code_words} * sizeof(std::uint32_t);
}

Result<Arm64UnwindInfo> Arm64UnwindInfo::Parse(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  AGENT_TRY(const Head head, ReadHead(reader));
  Arm64UnwindInfo info;
  info.code_size_ = head.instructions * kInstruction;
  for (std::uint32_t i = 0; i < head.epilogs; ++i) {
    const auto scope = reader.Read<std::uint32_t>();
    info.epilogs_.push_back({.begin = scope & 0x3ffff, .codes = scope >> 22});
  }
  const auto codes = reader.Take(std::size_t{head.code_words} * sizeof(std::uint32_t));
  if (!reader.ok()) return Fail(Errc::kMalformed, "unwind information ends early");
  info.codes_.assign(codes.begin(), codes.end());
  if (head.last) {
    const auto size = static_cast<std::uint32_t>(info.InstructionsFrom(*head.last) + 1);
    if (size > head.instructions) return Fail(Errc::kMalformed, "epilog longer than its function");
    info.epilogs_.push_back({.begin = head.instructions - size, .codes = *head.last});
  }
  if (!std::ranges::is_sorted(info.epilogs_, {}, &Epilog::begin)) {
    return Fail(Errc::kMalformed, "epilogs are not in order");
  }
  return info;
}

// How many instructions the sequence of codes stands for.
std::size_t Arm64UnwindInfo::InstructionsFrom(std::size_t codes) const {
  auto left = std::span(codes_).subspan(std::min(codes, codes_.size()));
  for (std::size_t count = 0;; ++count) {
    const std::optional<Code> code = Decode(left);
    const bool is_end =
        !code || code->operation == Operation::kEnd || code->operation == Operation::kEndOfPartial;
    if (is_end) return count;
    left = left.subspan(code->size);
  }
}

Arm64UnwindInfo::Place Arm64UnwindInfo::PlaceOf(std::uint32_t instruction) const {
  const std::size_t prolog = InstructionsFrom(0);
  if (instruction < prolog) return {.codes = 0, .skipped = prolog - instruction};
  const auto after = std::ranges::upper_bound(epilogs_, instruction, {}, &Epilog::begin);
  if (after != epilogs_.begin()) {
    const Epilog& epilog = *std::prev(after);
    const std::uint32_t done = instruction - epilog.begin;
    // The return, which has no code, stands behind them.
    if (done <= InstructionsFrom(epilog.codes)) return {.codes = epilog.codes, .skipped = done};
  }
  return {};
}

Result<void> Arm64UnwindInfo::Undo(const ThreadSnapshot& snapshot, std::uint32_t offset,
                                   std::span<std::uint64_t, kRegisters> registers,
                                   std::uint32_t& known) const {
  const auto is_known = [&](std::uint8_t number) { return (known >> number & 1) != 0; };
  const auto restore = [&](std::uint32_t number, std::uint64_t address) -> Result<void> {
    const std::optional<std::uint64_t> word = snapshot.ReadWord(address);
    if (!word) return Fail(Errc::kUnreadable, "the stack was not copied that far");
    registers[number] = *word;
    known |= std::uint32_t{1} << number;
    return {};
  };
  std::uint64_t& sp = registers[kSp];
  Place place = PlaceOf(offset / kInstruction);
  auto left = std::span(codes_).subspan(std::min(place.codes, codes_.size()));
  std::uint32_t next = 0;  // registers that the next code saves beyond its own
  for (;;) {
    const std::optional<Code> code = Decode(left);
    if (!code) return Fail(Errc::kMalformed, "code of unwind information");
    left = left.subspan(code->size);
    if (place.skipped > 0) {
      --place.skipped;
      continue;
    }
    if (code->operation == Operation::kSaveNext) {
      next += 2;
      continue;
    }
    if (next > 0 && !code->is_pair) return Fail(Errc::kMalformed, "code of unwind information");
    if (code->operation == Operation::kEnd) break;
    if (code->operation == Operation::kAllocate) sp += code->value;
    if (code->operation == Operation::kSetFp) {
      if (!is_known(kFp)) return Fail(Errc::kUnsupported, "the frame pointer is not known");
      sp = registers[kFp] - code->value;
      known |= std::uint32_t{1} << kSp;
    }
    if (code->operation == Operation::kSave) {
      if (!is_known(kSp)) return Fail(Errc::kUnsupported, "the stack pointer is not known");
      // Floating point registers are not kept.
      const std::uint32_t count = code->count == 0 ? 0 : code->count + next;
      if (code->first + count > kSp) return Fail(Errc::kMalformed, "unwind information saves none");
      std::uint64_t address = sp + (code->has_moved ? 0 : code->value);
      for (std::uint32_t i = 0; i < count; ++i, address += kWord) {
        AGENT_CHECK_OK(restore(code->first + i, address));
      }
      if (code->saves_lr) AGENT_CHECK_OK(restore(kLr, address));
      if (code->has_moved) sp += code->value;
    }
    next = 0;
  }
  // A return address that is in no frame is where the last call left it: a leaf's.
  if (!is_known(kLr)) return Fail(Errc::kUnsupported, "the return address is not known");
  registers[kPc] = registers[kLr];
  return {};
}

}  // namespace agent::dotnet
