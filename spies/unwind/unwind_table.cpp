// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/unwind_table.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <unordered_map>

#include "agent/base/byte_reader.h"
#include "agent/process/registers.h"
#include "spies/unwind/cfi_reader.h"
#include "spies/unwind/eh_frame.h"

namespace agent::unwind {
namespace {

constexpr std::size_t kMaxRememberedStates = 64;
constexpr std::size_t kMaxRows = 50'000'000;

// DW_CFA_* opcodes: DWARF 5, table 7.29, and GNU's.
enum Opcode : std::uint8_t {
  kNop = 0x00,
  kSetLoc = 0x01,
  kAdvanceLoc1 = 0x02,
  kAdvanceLoc2 = 0x03,
  kAdvanceLoc4 = 0x04,
  kOffsetExtended = 0x05,
  kRestoreExtended = 0x06,
  kUndefined = 0x07,
  kSameValue = 0x08,
  kRegister = 0x09,
  kRememberState = 0x0a,
  kRestoreState = 0x0b,
  kDefCfa = 0x0c,
  kDefCfaRegister = 0x0d,
  kDefCfaOffset = 0x0e,
  kDefCfaExpression = 0x0f,
  kExpression = 0x10,
  kOffsetExtendedSf = 0x11,
  kDefCfaSf = 0x12,
  kDefCfaOffsetSf = 0x13,
  kValOffset = 0x14,
  kValOffsetSf = 0x15,
  kValExpression = 0x16,
  kNegateRaStateWithPc = 0x2c,  // aarch64
  kNegateRaState = 0x2d,        // aarch64; elsewhere GNU_window_save
  kGnuArgsSize = 0x2e,
  kGnuNegativeOffsetExtended = 0x2f,
};

// DW_OP_* of the expressions that compilers and linkers emit.
constexpr std::uint8_t kOpDeref = 0x06;
constexpr std::uint8_t kOpPlusUconst = 0x23;
constexpr std::uint8_t kOpBreg0 = 0x70;

constexpr UnwindRule kComplexRule = {
    .cfa = CfaKind::kComplex, .fp = {}, .extra = {}, .return_address = {}};

// What is known at one instruction.
struct State {
  UnwindRule rule;
  bool ra_is_complex = false;
  bool fp_is_complex = false;
};

// "register + offset"; or the word there, plus something.
struct SimpleExpression {
  std::uint8_t base = 0;
  std::int32_t offset = 0;
  bool dereferenced = false;
  std::int32_t addend = 0;
};

bool FitsInt32(std::int64_t value) {
  return value >= std::numeric_limits<std::int32_t>::min() &&
         value <= std::numeric_limits<std::int32_t>::max();
}

std::optional<SimpleExpression> ParseSimple(std::span<const std::byte> expression) {
  ByteReader reader(expression);
  const auto operation = reader.Read<std::uint8_t>();
  if (operation < kOpBreg0 || operation >= kOpBreg0 + RegisterNumbers::kCount ||
      operation >= kOpBreg0 + 32) {
    return std::nullopt;
  }
  const std::int64_t offset = reader.ReadSleb();
  SimpleExpression result{.base = static_cast<std::uint8_t>(operation - kOpBreg0),
                          .offset = static_cast<std::int32_t>(offset),
                          .dereferenced = false,
                          .addend = 0};
  if (!reader.AtEnd()) {
    result.dereferenced = reader.Read<std::uint8_t>() == kOpDeref;
    if (!result.dereferenced) return std::nullopt;
  }
  if (!reader.AtEnd()) {
    const auto next = reader.Read<std::uint8_t>();
    const std::uint64_t addend = reader.ReadUleb();
    if (next != kOpPlusUconst || addend > 0xffff) return std::nullopt;
    result.addend = static_cast<std::int32_t>(addend);
  }
  if (!reader.ok() || !reader.AtEnd() || !FitsInt32(offset)) return std::nullopt;
  return result;
}

// What GNU ld and lld write for a lazily bound PLT entry: rsp + 8 + ((rip & 15) >= n ? 8 : 0).
std::optional<std::int32_t> ParsePltExpression(std::span<const std::byte> expression) {
  constexpr std::array<std::uint8_t, 11> kPattern = {0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a,
                                                     0x00, 0x2a, 0x33, 0x24, 0x22};
  constexpr std::size_t kHole = 6;
  if (expression.size() != kPattern.size()) return std::nullopt;
  for (std::size_t i = 0; i < kPattern.size(); ++i) {
    if (i != kHole && static_cast<std::uint8_t>(expression[i]) != kPattern[i]) return std::nullopt;
  }
  const auto literal = static_cast<std::uint8_t>(expression[kHole]);
  if (literal < 0x30 || literal > 0x3f) return std::nullopt;
  return literal - 0x30;
}

}  // namespace

// Compiles one file.
class TableBuilder {
 public:
  Result<void> Add(const CfiEntries& entries);
  void Add(std::span<const UnwindRow> rows) {
    for (const UnwindRow& row : rows) EmitRule(row.start, row.rule);
  }
  UnwindTable Finish() && { return std::move(table_); }
  void Begin(std::uint64_t base, std::uint64_t end) {
    table_.base_ = base;
    end_ = end;
  }

 private:
  void Run(const Cie& cie, const Fde& fde);
  bool Execute(const Cie& cie, std::span<const std::byte> instructions, State& state,
               const State* initial, std::uint64_t* location, std::uint64_t end);
  void SetRegister(std::uint64_t number, Saved saved, State& state, bool is_complex = false) const;
  void Restore(std::uint64_t number, State& state, const State& initial) const;
  void Emit(std::uint64_t location, const State& state);
  void EmitRule(std::uint64_t location, const UnwindRule& rule);
  std::uint16_t RuleIndex(const UnwindRule& rule);

  UnwindTable table_;
  std::unordered_map<UnwindRule, std::uint16_t> index_;
  std::vector<State> remembered_;
  std::array<std::uint16_t, 1024> recent_{};  // by the hash's highest bits
  std::uint64_t end_ = 0;
  std::uint64_t return_column_ = 0;
  bool is_signal_frame_ = false;
};

void TableBuilder::SetRegister(std::uint64_t number, Saved saved, State& state,
                               bool is_complex) const {
  if (number == return_column_) {
    state.rule.return_address = saved;
    state.ra_is_complex = is_complex;
  } else if (number == RegisterNumbers::kFp) {
    state.rule.fp = saved;
    state.fp_is_complex = is_complex;
  } else if (number == RegisterNumbers::kExtra) {
    // Callers need it too seldom to send a stack to the slow path for it.
    state.rule.extra = is_complex ? Saved{.kind = SavedKind::kUndefined} : saved;
  }
}

void TableBuilder::Restore(std::uint64_t number, State& state, const State& initial) const {
  if (number == return_column_) {
    state.rule.return_address = initial.rule.return_address;
    state.ra_is_complex = initial.ra_is_complex;
  } else if (number == RegisterNumbers::kFp) {
    state.rule.fp = initial.rule.fp;
    state.fp_is_complex = initial.fp_is_complex;
  } else if (number == RegisterNumbers::kExtra) {
    state.rule.extra = initial.rule.extra;
  }
}

// False when the program makes no sense. `initial` and `location` are null for a CIE's program.
bool TableBuilder::Execute(const Cie& cie, std::span<const std::byte> instructions, State& state,
                           const State* initial, std::uint64_t* location, std::uint64_t end) {
  ByteReader reader(instructions);
  remembered_.clear();
  const auto scaled = [&](std::int64_t factor) {
    std::int64_t value = 0;
    if (__builtin_mul_overflow(factor, cie.data_alignment, &value) || !FitsInt32(value)) {
      reader.Skip(~std::uint64_t{0});
      return 0;
    }
    return static_cast<std::int32_t>(value);
  };
  const auto offset = [&](std::uint64_t value) {
    if (value > 0x7fffffff) {
      reader.Skip(~std::uint64_t{0});
      return 0;
    }
    return static_cast<std::int32_t>(value);
  };
  const auto advance = [&](std::uint64_t count) {
    if (location == nullptr) return false;
    Emit(*location, state);
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(count, cie.code_alignment, &bytes) || bytes > end - *location) {
      return false;
    }
    *location += bytes;
    return true;
  };
  const auto set_cfa = [&](std::uint64_t number, std::int32_t value) {
    state.rule.cfa = number < RegisterNumbers::kCount ? CfaKind::kRegister : CfaKind::kComplex;
    state.rule.cfa_register = static_cast<std::uint8_t>(number);
    state.rule.cfa_addend = 0;
    state.rule.cfa_offset = value;
  };
  while (!reader.AtEnd()) {
    const auto byte = reader.Read<std::uint8_t>();
    const std::uint8_t low = byte & 0x3f;
    switch (byte & 0xc0) {
      case 0x40:
        if (!advance(low)) return false;
        continue;
      case 0x80:
        SetRegister(low, {SavedKind::kAtCfa, scaled(static_cast<std::int64_t>(reader.ReadUleb()))},
                    state);
        continue;
      case 0xc0:
        if (initial == nullptr) return false;
        Restore(low, state, *initial);
        continue;
      default:
        break;
    }
    switch (byte) {
      case kNop:
        break;
      case kSetLoc: {  // absolute in every file that has it; none was seen
        if (location == nullptr || cie.pointer_encoding != 0) return false;
        const auto target = reader.Read<std::uint64_t>();
        if (target < *location || target > end) return false;
        Emit(*location, state);
        *location = target;
        break;
      }
      case kAdvanceLoc1:
        if (!advance(reader.Read<std::uint8_t>())) return false;
        break;
      case kAdvanceLoc2:
        if (!advance(reader.Read<std::uint16_t>())) return false;
        break;
      case kAdvanceLoc4:
        if (!advance(reader.Read<std::uint32_t>())) return false;
        break;
      case kOffsetExtended: {
        const std::uint64_t number = reader.ReadUleb();
        const auto value = static_cast<std::int64_t>(reader.ReadUleb());
        SetRegister(number, {SavedKind::kAtCfa, scaled(value)}, state);
        break;
      }
      case kOffsetExtendedSf: {
        const std::uint64_t number = reader.ReadUleb();
        SetRegister(number, {SavedKind::kAtCfa, scaled(reader.ReadSleb())}, state);
        break;
      }
      case kGnuNegativeOffsetExtended: {
        const std::uint64_t number = reader.ReadUleb();
        const auto value = static_cast<std::int64_t>(-reader.ReadUleb());
        SetRegister(number, {SavedKind::kAtCfa, scaled(value)}, state);
        break;
      }
      case kRestoreExtended: {
        const std::uint64_t number = reader.ReadUleb();
        if (initial == nullptr) return false;
        Restore(number, state, *initial);
        break;
      }
      case kUndefined:
        SetRegister(reader.ReadUleb(), {SavedKind::kUndefined, 0}, state);
        break;
      case kSameValue:
        SetRegister(reader.ReadUleb(), {SavedKind::kSame, 0}, state);
        break;
      case kRegister: {
        const std::uint64_t number = reader.ReadUleb();
        const std::uint64_t source = reader.ReadUleb();
        SetRegister(number, {SavedKind::kRegister, offset(source)}, state,
                    source >= RegisterNumbers::kCount);
        break;
      }
      case kRememberState:
        if (remembered_.size() == kMaxRememberedStates) return false;
        remembered_.push_back(state);
        break;
      case kRestoreState:
        if (remembered_.empty()) return false;
        state = remembered_.back();
        remembered_.pop_back();
        break;
      case kDefCfa: {
        const std::uint64_t number = reader.ReadUleb();
        set_cfa(number, offset(reader.ReadUleb()));
        break;
      }
      case kDefCfaSf: {
        const std::uint64_t number = reader.ReadUleb();
        set_cfa(number, scaled(reader.ReadSleb()));
        break;
      }
      case kDefCfaRegister:
        set_cfa(reader.ReadUleb(), state.rule.cfa_offset);
        break;
      case kDefCfaOffset:
        state.rule.cfa_offset = offset(reader.ReadUleb());
        break;
      case kDefCfaOffsetSf:
        state.rule.cfa_offset = scaled(reader.ReadSleb());
        break;
      case kDefCfaExpression: {
        const auto expression = reader.Take(reader.ReadUleb());
        state.rule.cfa = CfaKind::kComplex;
        state.rule.cfa_register = 0;
        state.rule.cfa_offset = 0;
        state.rule.cfa_addend = 0;
        if (const auto plt = ParsePltExpression(expression)) {
          state.rule.cfa = CfaKind::kPlt;
          state.rule.cfa_offset = *plt;
        } else if (const auto simple = ParseSimple(expression)) {
          state.rule.cfa = simple->dereferenced ? CfaKind::kDeref : CfaKind::kRegister;
          state.rule.cfa_register = simple->base;
          state.rule.cfa_offset = simple->offset;
          state.rule.cfa_addend = simple->addend;
        }
        break;
      }
      case kExpression: {
        const std::uint64_t number = reader.ReadUleb();
        const auto simple = ParseSimple(reader.Take(reader.ReadUleb()));
        const bool at_fp = simple && !simple->dereferenced && simple->base == RegisterNumbers::kFp;
        SetRegister(number, {SavedKind::kAtFp, at_fp ? simple->offset : 0}, state, !at_fp);
        break;
      }
      case kValOffset:
      case kValOffsetSf: {
        const std::uint64_t number = reader.ReadUleb();
        if (byte == kValOffset) {
          static_cast<void>(reader.ReadUleb());
        } else {
          static_cast<void>(reader.ReadSleb());
        }
        // The stack pointer is the CFA in every rule of ours.
        if (number != RegisterNumbers::kSp) SetRegister(number, {}, state, true);
        break;
      }
      case kValExpression: {
        const std::uint64_t number = reader.ReadUleb();
        reader.Skip(reader.ReadUleb());
        SetRegister(number, {}, state, true);
        break;
      }
      case kNegateRaStateWithPc:
      case kNegateRaState:
        break;  // signed return addresses are stripped wherever they are
      case kGnuArgsSize:
        static_cast<void>(reader.ReadUleb());
        break;
      default:
        return false;
    }
  }
  return reader.ok();
}

void TableBuilder::Run(const Cie& cie, const Fde& fde) {
  return_column_ = cie.return_column;
  is_signal_frame_ = cie.is_signal_frame;
  State initial;
  if (!Execute(cie, cie.instructions, initial, nullptr, nullptr, 0)) {
    ++table_.malformed_;
    return;
  }
  State state = initial;
  std::uint64_t location = fde.start;
  const std::uint64_t end = fde.start + fde.size;
  if (Execute(cie, fde.instructions, state, &initial, &location, end)) {
    if (location < end) Emit(location, state);
  } else {
    ++table_.malformed_;
    EmitRule(location, UnwindRule{});
  }
  EmitRule(end, UnwindRule{});  // another entry that begins here replaces it
}

void TableBuilder::Emit(std::uint64_t location, const State& state) {
  UnwindRule rule = state.rule;
  if (is_signal_frame_) {
    rule = {.cfa = CfaKind::kSignal, .fp = {}, .extra = {}, .return_address = {}};
  } else if (rule.return_address.kind == SavedKind::kUndefined && !state.ra_is_complex) {
    rule = {.cfa = CfaKind::kRegister,  // the root; nothing else of it is needed
            .cfa_register = rule.cfa_register,
            .cfa_offset = rule.cfa_offset,
            .fp = {},
            .extra = {},
            .return_address = rule.return_address};
  } else if (rule.cfa == CfaKind::kComplex || state.ra_is_complex || state.fp_is_complex) {
    rule = kComplexRule;
  }
  EmitRule(location, rule);
}

void TableBuilder::EmitRule(std::uint64_t location, const UnwindRule& rule) {
  const auto start = static_cast<std::uint32_t>(location - table_.base_);
  const std::uint16_t index = RuleIndex(rule);
  if (!table_.starts_.empty() && table_.starts_.back() == start) {
    table_.rule_of_.back() = index;
    // The row before may say the same now.
    const std::size_t count = table_.starts_.size();
    if (count > 1 && table_.rule_of_[count - 2] == index) {
      table_.starts_.pop_back();
      table_.rule_of_.pop_back();
    }
    return;
  }
  if (!table_.rule_of_.empty() && table_.rule_of_.back() == index) return;
  table_.starts_.push_back(start);
  table_.rule_of_.push_back(index);
}

std::uint16_t TableBuilder::RuleIndex(const UnwindRule& rule) {
  // Few rules make up most rows.
  const std::uint64_t hash = std::hash<UnwindRule>{}(rule);
  std::uint16_t& recent = recent_[hash >> 54];
  if (table_.rules_[recent] == rule) return recent;
  const auto [place, inserted] =
      index_.try_emplace(rule, static_cast<std::uint16_t>(table_.rules_.size()));
  if (inserted) {
    // More than any real file has; what does not fit is left to the slow path, whose rule has the
    // last place.
    const UnwindRule complex{.cfa = CfaKind::kComplex, .fp = {}, .extra = {}, .return_address = {}};
    if (table_.rules_.size() >= std::numeric_limits<std::uint16_t>::max() && rule != complex) {
      index_.erase(place);
      return RuleIndex(complex);
    }
    table_.rules_.push_back(rule);
  }
  recent = place->second;
  return recent;
}

Result<void> TableBuilder::Add(const CfiEntries& entries) {
  table_.malformed_ += entries.malformed;
  std::vector<std::uint32_t> order(entries.fdes.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto start_of = [&](std::uint32_t i) { return entries.fdes[i].start; };
  if (!std::ranges::is_sorted(order, {}, start_of)) std::ranges::stable_sort(order, {}, start_of);
  table_.starts_.reserve(entries.fdes.size() * 8);
  table_.rule_of_.reserve(entries.fdes.size() * 8);
  std::uint64_t covered = table_.base_;
  for (const std::uint32_t i : order) {
    const Fde& fde = entries.fdes[i];
    // Outside: the linker left the function out. Overlapping: the first one counts.
    if (fde.start < covered || fde.start + fde.size > end_) continue;
    if (table_.starts_.size() > kMaxRows) return Fail(Errc::kLimit, "too many unwind rows");
    Run(entries.cies[fde.cie], fde);
    covered = fde.start + fde.size;
  }
  table_.starts_.shrink_to_fit();
  table_.rule_of_.shrink_to_fit();
  return {};
}

Result<UnwindTable> UnwindTable::Compile(const ElfFile& elf) {
  TableBuilder builder;
  std::uint64_t low = ~std::uint64_t{0};
  std::uint64_t high = 0;
  for (const ElfSegment& segment : elf.load_segments()) {
    if (!segment.executable) continue;
    low = std::min(low, static_cast<std::uint64_t>(segment.address));
    high = std::max(high, static_cast<std::uint64_t>(segment.address) + segment.memory_size);
  }
  if (low >= high) return std::move(builder).Finish();
  if (high - low > std::numeric_limits<std::uint32_t>::max()) {
    return Fail(Errc::kLimit, "more than 4 GiB of code");
  }
  builder.Begin(low, high);

  const EhFrame frame(elf);
  CfiEntries entries = ReadCfiEntries(frame.bytes, frame.address, CfiFormat::kEhFrame);
  // Both may be there, for different functions: C code without unwind tables, built with -g.
  if (const auto section = elf.ReadSection(".debug_frame")) {
    const CfiEntries more = ReadCfiEntries(section->bytes, 0, CfiFormat::kDebugFrame);
    const auto shift = static_cast<std::uint32_t>(entries.cies.size());
    entries.cies.insert(entries.cies.end(), more.cies.begin(), more.cies.end());
    for (Fde fde : more.fdes) {
      fde.cie += shift;
      entries.fdes.push_back(fde);
    }
    entries.malformed += more.malformed;
  }
  AGENT_CHECK_OK(builder.Add(entries));
  return std::move(builder).Finish();
}

UnwindTable UnwindTable::FromRows(std::span<const UnwindRow> rows) {
  TableBuilder builder;
  if (!rows.empty()) builder.Begin(rows.front().start, rows.back().start);
  builder.Add(rows);
  return std::move(builder).Finish();
}

const UnwindRule& UnwindTable::Find(ElfAddress address) const {
  const std::uint64_t offset = static_cast<std::uint64_t>(address) - base_;
  if (offset > std::numeric_limits<std::uint32_t>::max()) return rules_[0];
  const auto after = std::ranges::upper_bound(starts_, static_cast<std::uint32_t>(offset));
  if (after == starts_.begin()) return rules_[0];
  return rules_[rule_of_[static_cast<std::size_t>(after - starts_.begin()) - 1]];
}

}  // namespace agent::unwind
