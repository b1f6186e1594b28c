// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/unwinder.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "spies/unwind/dotnet_epilog.h"
#include "spies/unwind/go_stacks.h"
#include "spies/unwind/machine_code.h"

namespace agent::unwind {
namespace {

using Numbers = RegisterNumbers;

constexpr std::size_t kCodeBytes = 16;
// A frame larger than this, or a step down the stack, is nonsense, unless a signal came between.
constexpr std::uint64_t kMaxFrameSize = 1u << 20;

// libunwind's steps in one walk: it goes from the leaf each time.
constexpr std::size_t kMaxSlowSteps = 1u << 13;

constexpr std::uint32_t Bit(std::size_t number) { return std::uint32_t{1} << number; }
constexpr std::uint32_t kKnownInCaller =
    Bit(Numbers::kSp) | Bit(Numbers::kFp) | Bit(Numbers::kExtra);

bool IsTracked(std::size_t number, std::uint32_t known) {
  return number >= 32 || (known & Bit(number)) != 0;
}

// Whether what is saved in registers that are lost makes the rule useless.
bool NeedsLostRegister(const UnwindRule& rule, std::uint32_t known) {
  const Saved& saved = rule.return_address;
  if (saved.kind == SavedKind::kSame) return !IsTracked(Numbers::kReturnColumn, known);
  if (saved.kind == SavedKind::kRegister) {
    return !IsTracked(static_cast<std::size_t>(saved.offset), known);
  }
  const bool uses_fp =
      std::ranges::any_of(std::array{rule.return_address.kind, rule.fp.kind, rule.extra.kind},
                          [](SavedKind kind) { return kind == SavedKind::kAtFp; });
  return uses_fp && !IsTracked(Numbers::kFp, known);
}

// The caller's frame pointer, and the return address behind it.
bool HasFrameRecord(const UnwindRule& rule) {
  constexpr std::int32_t kWord = sizeof(std::uint64_t);
  return rule.fp.kind == SavedKind::kAtCfa && rule.return_address.kind == SavedKind::kAtCfa &&
         rule.fp.offset < 0 && rule.return_address.offset == rule.fp.offset + kWord;
}

}  // namespace

Unwinder::Unwinder(TargetProcess& process, CodeFiles& files, bool runs_go, ManagedCode* managed)
    : process_(process),
      space_(process, files),
      runs_go_(runs_go),
      managed_(managed),
      places_(std::make_unique<std::array<Place, kPlaces>>()) {}

WalkResult Unwinder::Walk(const ThreadSnapshot& snapshot, MonotonicTime now, Stack& frames) {
  const std::size_t first = frames.size();
  if (!space_.IsKnown()) space_.Refresh(now);
  later_.clear();
  const std::uint32_t generation = space_.generation();
  WalkResult result = WalkOnce(snapshot, now, frames);
  // Another library may lie where one was unloaded; a walk that came upon unknown code in its
  // middle went by the old mappings up to there.
  if (space_.generation() != generation || (!LaterOnesAreThere() && space_.Refresh(now))) {
    frames.resize(first);
    result = WalkOnce(snapshot, now, frames);
  }
  if (result.end == WalkEnd::kNotReady) frames.resize(first);
  const bool one_frame = frames.size() == first + 1;
  if (result.end == WalkEnd::kLost && one_frame && IsThreadStart(snapshot)) {
    result.end = WalkEnd::kRoot;
  }
  return result;
}

WalkResult Unwinder::WalkOnce(const ThreadSnapshot& snapshot, MonotonicTime now, Stack& frames) {
  const std::size_t first = frames.size();
  Cursor cursor{.registers = snapshot.registers};
  if (snapshot.is_of_sleeper) cursor.known = Bit(Numbers::kSp);
  WalkResult result;
  // Steps, not frames: a runtime's step may add none.
  for (std::size_t steps = 0; steps < kMaxFrames; ++steps) {
    std::optional<Step> managed;
    if (managed_ != nullptr) managed = ByManaged(snapshot, now, cursor, frames);
    const Step step =
        managed ? *managed : ByCode(snapshot, now, frames.size() - first, cursor, result, frames);
    switch (step) {
      case Step::kCaller:
        break;
      case Step::kRoot:
        result.end = WalkEnd::kRoot;
        result.stack_end = cursor.registers.sp();
        return result;
      case Step::kTruncated:
        result.end = WalkEnd::kTruncated;
        return result;
      case Step::kComplex:
        result.end = WalkEnd::kComplex;
        return result;
      case Step::kNotReady:
        result.end = WalkEnd::kNotReady;
        return result;
      case Step::kLost:
        return result;
    }
    if (cursor.registers.pc() == 0) {
      result.end = WalkEnd::kRoot;
      result.stack_end = cursor.registers.sp();
      return result;
    }
  }
  result.end = WalkEnd::kTooDeep;
  return result;
}

// By the code's own rules. `number`: the frame's, from the leaf (0) on.
Unwinder::Step Unwinder::ByCode(const ThreadSnapshot& snapshot, MonotonicTime now,
                                std::size_t number, Cursor& cursor, WalkResult& result,
                                Stack& frames) {
  const std::uint64_t pc = cursor.registers.pc();
  Place* place = Lookup(cursor.is_exact ? pc : pc - 1, now);
  // A signal return is where a handler returns to: it has no call before it.
  if (!cursor.is_exact &&
      (place == nullptr || place->rule.cfa == CfaKind::kNone || place->is_scanned)) {
    Place* exact = Lookup(pc, now);
    if (exact != nullptr && exact->ready &&
        (exact->rule.cfa == CfaKind::kSignal || IsSignalReturnAt(*exact))) {
      place = exact;
      cursor.is_exact = true;
    }
  }
  if (place == nullptr) return Step::kLost;
  if (!place->ready) return Step::kNotReady;
  if (place->came_later && std::ranges::find(later_, place->region) == later_.end()) {
    later_.push_back(place->region);
  }
  frames.push_back({.module = place->module, .address = place->address - place->bias});
  const UnwindRule rule = place->rule;
  const std::uint64_t sp = cursor.registers.sp();
  if (rule.cfa == CfaKind::kSignal ||
      (rule.cfa == CfaKind::kNone && cursor.is_exact && IsSignalReturnAt(*place))) {
    const Step step = BySignalFrame(snapshot, cursor);
    const std::uint64_t moved = cursor.registers.sp() - sp;
    if (step == Step::kCaller && moved > kMaxFrameSize) result.changed_stack = true;
    return step;
  }
  const bool was_exact = cursor.is_exact;
  const bool is_in_file = place->is_in_file;
  if (was_exact && place->is_dotnet) {
    const Result<bool> epilog = TryEpilog(snapshot, cursor);
    if (!epilog) return Step::kTruncated;
    if (*epilog) return Step::kCaller;
  }
  std::optional<Cursor> scanned;  // before a step by a rule that may be wrong
  if (place->is_scanned) scanned = cursor;
  Step step = rule.cfa == CfaKind::kNone ? WithoutRule(snapshot, now, is_in_file, cursor)
                                         : ByRule(snapshot, rule, cursor);
  if (scanned && (step == Step::kComplex ||
                  (step == Step::kCaller && !IsAfterCall(cursor.registers.pc(), now)))) {
    cursor = *scanned;
    step = WithoutRule(snapshot, now, is_in_file, cursor);
  }
  if (step == Step::kComplex) step = BySlowPath(snapshot, number, cursor);
  if (step == Step::kCaller && managed_ != nullptr) UndoHijack(snapshot, now, cursor);
  // Go goes from one stack to another within a thread.
  const bool may_move = rule.cfa == CfaKind::kSwitched || rule.cfa == CfaKind::kResumed;
  const std::uint64_t moved = cursor.registers.sp() - sp;
  if (step == Step::kCaller &&
      ((moved > kMaxFrameSize && !may_move) || (moved == 0 && !was_exact))) {
    return Step::kLost;
  }
  return step;
}

void Unwinder::CopyMore(ThreadSnapshot& snapshot) {
  if (runs_go_) CopyGoroutine(process_.memory(), snapshot);
}

// Null when there is no code at the address.
Unwinder::Place* Unwinder::Lookup(std::uint64_t address, MonotonicTime now) {
  Place& place = (*places_)[(address ^ address >> 11) % kPlaces];
  if (place.address == address && place.generation == space_.generation() && place.ready) {
    return &place;
  }
  if (Fill(address, place)) return &place;
  if (space_.Refresh(now) && Fill(address, place)) return &place;
  return nullptr;
}

bool Unwinder::Fill(std::uint64_t address, Place& place) {
  const CodeRegion* region = space_.Find(address);
  if (region == nullptr) return false;
  place = {.address = address,
           .generation = space_.generation(),
           .ready = true,
           .came_later = region->came_later,
           .region = region->start,
           .module = region->module,
           .bias = region->bias,
           .rule = {}};
  place.is_in_file = region->file != nullptr;
  if (region->file != nullptr) {
    if (region->file->is_go()) runs_go_ = true;
    const CodeTables* tables = region->file->tables();
    place.ready = tables != nullptr;
    if (place.ready) {
      const ElfAddress in_file{address - region->bias};
      place.rule = tables->RuleAt(in_file);
      place.is_dotnet = kCallPushes && region->file->IsDotnet(in_file);
      if (place.rule.cfa == CfaKind::kNone) {
        place.rule = tables->scanned.Find(in_file);
        place.is_scanned = place.rule.cfa != CfaKind::kNone;
      }
    }
  }
  return true;
}

Result<bool> Unwinder::TryEpilog(const ThreadSnapshot& snapshot, Cursor& cursor) {
  std::array<std::byte, kLongestEpilog> code;  // NOLINT: read up to `size`
  const auto size = process_.memory().ReadSome(RemoteAddress(cursor.registers.pc()), code);
  if (!size) return false;
  AGENT_TRY(const bool is_one,
            FinishEpilog(snapshot, std::span(code).first(*size), std::nullopt, cursor.registers));
  if (is_one) {
    cursor.known = kKnownInCaller;
    cursor.is_exact = false;
  }
  return is_one;
}

// CoreCLR stops a method by having it return to OnHijackTripThread, whose call frame information
// counts a return address that is not there: the true one is two words below (10.0.12, x64), once
// the runtime has put it back.
void Unwinder::UndoHijack(const ThreadSnapshot& snapshot, MonotonicTime now, Cursor& cursor) {
  constexpr std::uint64_t kWord = sizeof(std::uint64_t);
  std::uint64_t& pc = cursor.registers.values[Numbers::kPc];
  std::uint64_t& sp = cursor.registers.values[Numbers::kSp];
  if (!kCallPushes || cursor.is_exact || pc == 0 || IsAfterCall(pc, now)) return;
  const std::optional<std::uint64_t> caller = snapshot.ReadWord(sp - 2 * kWord);
  if (!caller || !IsAfterCall(*caller, now)) return;
  pc = *caller;
  sp -= kWord;
}

// Nothing where it is not the runtime's code. The runtime knows its code before the mappings that
// were read last do.
std::optional<Unwinder::Step> Unwinder::ByManaged(const ThreadSnapshot& snapshot, MonotonicTime now,
                                                  Cursor& cursor, Stack& frames) {
  const std::uint64_t pc = cursor.registers.pc();
  const std::uint64_t sp = cursor.registers.sp();
  const CodeRegion* region = space_.Find(cursor.is_exact ? pc : pc - 1);
  if (region != nullptr && region->file != nullptr) return std::nullopt;
  const ManagedStep step =
      managed_->Step(snapshot, cursor.is_exact, cursor.registers, cursor.known, frames);
  switch (step) {
    case ManagedStep::kCaller: {
      const bool was_exact = std::exchange(cursor.is_exact, false);
      const std::uint64_t moved = cursor.registers.sp() - sp;
      const std::uint64_t caller = cursor.registers.pc();
      const bool is_sound = (moved != 0 || was_exact) && moved <= kMaxFrameSize &&
                            (caller == 0 || IsAfterCall(caller, now));
      return is_sound ? Step::kCaller : Step::kLost;
    }
    case ManagedStep::kTruncated:
      return Step::kTruncated;
    case ManagedStep::kLost:
      return Step::kLost;
    case ManagedStep::kNotMine:
    case ManagedStep::kStub:
      break;
  }
  if (!cursor.is_exact) return std::nullopt;
  if (!kCallPushes) {
    if (step != ManagedStep::kStub || !IsTracked(Numbers::kReturnColumn, cursor.known)) {
      return std::nullopt;
    }
    const std::uint64_t caller =
        StripReturnAddress(cursor.registers.values[Numbers::kReturnColumn]);
    if (!IsAfterCall(caller, now)) return std::nullopt;
    cursor.registers.values[Numbers::kPc] = caller;
    cursor.known &= ~Bit(Numbers::kReturnColumn);
    cursor.is_exact = false;
    return Step::kCaller;
  }
  // CoreCLR's copies of its write barriers are in none of its ranges, and push nothing either.
  const std::optional<std::uint64_t> caller = snapshot.ReadWord(sp);
  if (!caller) return Step::kTruncated;
  if (!IsAfterCall(*caller, now)) return std::nullopt;
  cursor.registers.values[Numbers::kPc] = *caller;
  cursor.registers.values[Numbers::kSp] += sizeof(*caller);
  cursor.is_exact = false;
  return Step::kCaller;
}

Unwinder::Step Unwinder::ByRule(const ThreadSnapshot& snapshot, const UnwindRule& rule,
                                Cursor& cursor) {
  if (rule.cfa == CfaKind::kComplex) return Step::kComplex;
  Registers& registers = cursor.registers;
  if (rule.cfa == CfaKind::kResumed) {
    if (!snapshot.switched_from) return Step::kLost;
    registers.values[Numbers::kPc] = snapshot.switched_from->pc;
    registers.values[Numbers::kSp] = snapshot.switched_from->sp;
    registers.values[Numbers::kFp] = snapshot.switched_from->fp;
    cursor.known = Bit(Numbers::kSp) | Bit(Numbers::kFp);
    cursor.is_exact = true;
    return Step::kCaller;
  }
  if (rule.return_address.kind == SavedKind::kUndefined) {
    // The stack pointer is good enough for where the stack ends.
    if (rule.cfa == CfaKind::kRegister && rule.cfa_register == Numbers::kSp) {
      registers.values[Numbers::kSp] +=
          static_cast<std::uint64_t>(static_cast<std::int64_t>(std::max(rule.cfa_offset, 0)));
    }
    return Step::kRoot;
  }
  const auto plus = [](std::uint64_t base, std::int32_t offset) {
    return base + static_cast<std::uint64_t>(std::int64_t{offset});
  };
  std::uint64_t cfa = 0;
  if (rule.cfa == CfaKind::kPlt) {
    const bool pushed = (registers.pc() & 15) >= static_cast<std::uint64_t>(rule.cfa_offset);
    cfa = registers.sp() + (pushed ? 16 : 8);
  } else if (rule.cfa == CfaKind::kSwitched) {
    if (!snapshot.switched_from) return Step::kLost;
    if (snapshot.switched_from->sp == 0) return Step::kRoot;
    cfa = plus(snapshot.switched_from->sp, rule.cfa_offset);
  } else {
    if (IsTracked(rule.cfa_register, cursor.known)) {
      cfa = plus(registers.values[rule.cfa_register], rule.cfa_offset);
    } else if (rule.cfa == CfaKind::kRegister && rule.cfa_register == Numbers::kSp &&
               IsTracked(Numbers::kFp, cursor.known) && HasFrameRecord(rule)) {
      // At a call, the frame pointer points to the record.
      cfa = plus(registers.fp(), -rule.fp.offset);
    } else {
      return Step::kComplex;
    }
    if (rule.cfa == CfaKind::kDeref) {
      const auto word = snapshot.ReadWord(cfa);
      if (!word) return Step::kTruncated;
      cfa = plus(*word, rule.cfa_addend);
    }
  }
  bool missing = false;
  const auto restore = [&](const Saved& saved, std::uint8_t number) -> std::uint64_t {
    switch (saved.kind) {
      case SavedKind::kSame:
        return registers.values[number];
      case SavedKind::kAtCfa:
      case SavedKind::kAtFp: {
        const std::uint64_t base = saved.kind == SavedKind::kAtCfa ? cfa : registers.fp();
        const auto word = snapshot.ReadWord(plus(base, saved.offset));
        if (!word) missing = true;
        return word.value_or(0);
      }
      case SavedKind::kRegister:
        if (IsTracked(static_cast<std::size_t>(saved.offset), cursor.known)) {
          return registers.values[static_cast<std::size_t>(saved.offset)];
        }
        [[fallthrough]];
      case SavedKind::kUndefined:
        cursor.known &= ~Bit(number);
        return 0;
    }
    return 0;
  };
  // A return address that is nowhere but in the link register is lost in all but a leaf.
  if (rule.return_address.kind == SavedKind::kSame && !cursor.is_exact) return Step::kLost;
  if (NeedsLostRegister(rule, cursor.known)) return Step::kComplex;
  const std::uint64_t return_address =
      StripReturnAddress(restore(rule.return_address, Numbers::kReturnColumn));
  if (missing) return Step::kTruncated;
  const std::uint32_t known_before = cursor.known;
  const std::uint64_t fp = restore(rule.fp, Numbers::kFp);
  const std::uint64_t extra = restore(rule.extra, Numbers::kExtra);
  if (missing) return Step::kTruncated;
  std::uint32_t known = (kKnownInCaller & cursor.known) | Bit(Numbers::kSp);
  // What was saved to memory is known again, whatever it was before.
  for (const auto& [saved, number] :
       {std::pair(rule.fp, Numbers::kFp), std::pair(rule.extra, Numbers::kExtra)}) {
    if (saved.kind == SavedKind::kAtCfa) known |= Bit(number);
    if (saved.kind == SavedKind::kAtFp && (known_before & Bit(Numbers::kFp)) != 0) {
      known |= Bit(number);
    }
  }
  registers.values[Numbers::kFp] = fp;
  registers.values[Numbers::kExtra] = extra;
  registers.values[Numbers::kSp] = cfa;
  registers.values[Numbers::kPc] = return_address;
  cursor.known = known;
  cursor.is_exact = rule.caller_is_exact;
  return Step::kCaller;
}

Unwinder::Step Unwinder::BySlowPath(const ThreadSnapshot& snapshot, std::size_t frame,
                                    Cursor& cursor) {
  cursor.slow_steps += frame + 1;
  if (snapshot.is_of_sleeper || cursor.slow_steps > kMaxSlowSteps) return Step::kComplex;
  if (!slow_) slow_ = std::make_unique<SlowUnwinder>(process_.memory(), space_);
  const std::optional<Registers> registers = slow_->Step(
      snapshot, frame + 1,
      IsTracked(Numbers::kSp, cursor.known) ? std::optional(cursor.registers.sp()) : std::nullopt);
  if (!registers) return Step::kComplex;
  cursor.registers = *registers;
  cursor.registers.values[Numbers::kPc] = StripReturnAddress(registers->pc());
  cursor.known = kKnownInCaller;
  cursor.is_exact = false;
  return Step::kCaller;
}

Unwinder::Step Unwinder::BySignalFrame(const ThreadSnapshot& snapshot, Cursor& cursor) {
  const std::span<const std::uint16_t> offsets = SignalFrameOffsets();
  const std::uint64_t sp = cursor.registers.sp();
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const auto word = snapshot.ReadWord(sp + offsets[i]);
    if (!word) return Step::kTruncated;
    cursor.registers.values[i] = *word;
  }
  cursor.known = ~0u;
  cursor.is_exact = true;
  return Step::kCaller;
}

// Code that nothing describes: JIT compilers' and hand-written assembly. What is taken for a return
// address must follow a call.
Unwinder::Step Unwinder::WithoutRule(const ThreadSnapshot& snapshot, MonotonicTime now,
                                     bool is_in_file, Cursor& cursor) {
  Registers& registers = cursor.registers;
  const std::uint64_t sp = registers.sp();
  const std::uint64_t fp = registers.fp();
  FrameSetup setup;
  if (cursor.is_exact) {
    std::array<std::byte, kCodeBytes + kLongestCall> code{};
    const RemoteAddress from(registers.pc() - kLongestCall);
    if (process_.memory().Read(from, code)) {
      const std::span bytes(code);
      setup = SetupAt(bytes.first(kLongestCall), bytes.subspan(kLongestCall));
    }
  }
  std::uint64_t caller_sp = sp;
  std::optional<std::uint64_t> return_address;
  std::optional<std::uint64_t> saved_fp = fp;
  std::uint32_t known = cursor.known & Bit(Numbers::kFp);
  if (setup.in_link_register) {
    if (!IsTracked(Numbers::kReturnColumn, cursor.known)) return Step::kLost;
    return_address = registers.values[Numbers::kReturnColumn];
    known |= Bit(Numbers::kSp);
  } else {
    std::uint64_t place = 0;
    if (setup.return_address >= 0) {
      place = sp + static_cast<std::uint64_t>(setup.return_address);
      if (setup.saved_fp >= 0) {
        saved_fp = snapshot.ReadWord(sp + static_cast<std::uint64_t>(setup.saved_fp));
        known = Bit(Numbers::kFp);
      }
    } else {
      if (known == 0) return Step::kLost;
      // What the ABI has a thread's first frame hold. Where a file's functions clear it, ScanCode
      // has seen that: elsewhere it is a number like others.
      if (fp == 0) return kCallPushes && is_in_file ? Step::kLost : Step::kRoot;
      // Go on aarch64 has it one word below the stack pointer.
      constexpr std::uint64_t kBelow = kCallPushes ? 0 : sizeof(std::uint64_t);
      if (fp + kBelow < sp || fp + kBelow - sp > kMaxFrameSize || fp % sizeof(fp) != 0) {
        return Step::kLost;
      }
      place = fp + sizeof(std::uint64_t);
      saved_fp = snapshot.ReadWord(fp);
    }
    return_address = snapshot.ReadWord(place);
    // Not the caller's, but no higher, where a call does not push.
    caller_sp = place + sizeof(std::uint64_t);
    if (kCallPushes) known |= Bit(Numbers::kSp);
  }
  if (!return_address || !saved_fp) return Step::kTruncated;
  const std::uint64_t caller = StripReturnAddress(*return_address);
  if (caller != 0 && !IsAfterCall(caller, now)) return Step::kLost;
  registers.values[Numbers::kSp] = caller_sp;
  registers.values[Numbers::kFp] = *saved_fp;
  registers.values[Numbers::kPc] = caller;
  cursor.known = known;
  cursor.is_exact = false;
  return Step::kCaller;
}

// A new thread has a stack of its own before it has returned from clone.
bool Unwinder::IsThreadStart(const ThreadSnapshot& snapshot) {
  std::array<std::byte, kLongestCall> code{};
  const RemoteAddress from(snapshot.registers.pc() - kLongestCall);
  return !snapshot.is_of_sleeper && process_.memory().Read(from, code) &&
         IsFirstOfChild(code, snapshot.registers);
}

bool Unwinder::IsSignalReturnAt(Place& place) {
  if (place.signal_return == Check::kUnknown) {
    std::array<std::byte, kCodeBytes> code{};
    const auto read = process_.memory().Read(RemoteAddress(place.address), code);
    place.signal_return = read && IsSignalReturn(code) ? Check::kYes : Check::kNo;
  }
  return place.signal_return == Check::kYes;
}

bool Unwinder::IsAfterCall(std::uint64_t address, MonotonicTime now) {
  const auto follows_call = [&] {
    std::array<std::byte, kLongestCall> code{};
    const auto read = process_.memory().Read(RemoteAddress(address - kLongestCall), code);
    return read && EndsWithCall(code);
  };
  Place* place = Lookup(address - 1, now);
  // A runtime's code is known to the runtime before it is to us.
  if (place == nullptr) return managed_ != nullptr && follows_call();
  if (place->after_call == Check::kUnknown) {
    place->after_call = follows_call() ? Check::kYes : Check::kNo;
  }
  if (place->after_call == Check::kYes) return true;
  // Nobody calls from where a signal handler returns to.
  Place* exact = Lookup(address, now);
  return exact != nullptr && IsSignalReturnAt(*exact);
}

bool Unwinder::LaterOnesAreThere() const {
  return std::ranges::all_of(later_, [this](std::uint64_t start) {
    const CodeRegion* region = space_.Find(start);
    return region != nullptr && space_.IsStillThere(*region);
  });
}

}  // namespace agent::unwind
