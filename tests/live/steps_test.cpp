// SPDX-License-Identifier: Apache-2.0
// A stack at every instruction of a program. The truth is kept beside it: each call that the
// processor makes puts a return address on a list, each return takes it off, the kernel's signal
// frames and returns likewise. No unwinding, no table and no symbol takes part in it.
#if defined(__x86_64__)
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <thread>
#include <unordered_map>

#include "tests/live/traced_program.h"
#include "tests/live/walked.h"
#include "tests/support/catch.h"

namespace agent::live {
namespace {

using unwind::WalkEnd;

constexpr std::uint64_t kStack = 256u << 10;
// Loops: each instruction is checked so often with the same caller.
constexpr int kChecksEach = 2;

enum class Kind : std::uint8_t { kOther, kCall, kReturn, kJumpTo, kSystemCall };

// What an instruction does, by the bytes after its prefixes.
Kind KindOf(std::span<const std::byte> code) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(code[i]); };
  std::size_t i = 0;
  while (i < 4 && (at(i) == 0xf2 || at(i) == 0xf3 || at(i) == 0x3e || at(i) == 0x66 ||
                   at(i) == 0x67 || (at(i) & 0xf0) == 0x40)) {
    ++i;
  }
  if (at(i) == 0xe8 || (at(i) == 0xff && (at(i + 1) >> 3 & 7) == 2)) return Kind::kCall;
  if (at(i) == 0xff && (at(i + 1) >> 3 & 7) == 4) return Kind::kJumpTo;
  if (at(i) == 0xc3 || at(i) == 0xc2) return Kind::kReturn;
  if (at(i) == 0x0f && at(i + 1) == 0x05) return Kind::kSystemCall;
  return Kind::kOther;
}

// A caller, as the processor or the kernel put it on the stack.
struct Caller {
  std::uint64_t slot = 0;  // where its address is
  std::uint64_t address = 0;
  bool is_interrupted = false;  // by a signal: `address` is the instruction itself
};

struct Tally {
  int checked = 0;
  int wrong = 0;       // a frame that is not there in truth
  int incomplete = 0;  // true as far as it goes
  std::string example;
};

class StepTest {
 public:
  explicit StepTest(TracedProgram& program) : program_(program), walked_(program.pid()) {}

  void Run() {
    walked_.RefreshSpace();
    int signal = 0;
    while (true) {
      const Registers before = program_.ReadRegisters();
      const Kind kind = KindAt(before.pc());
      if (signal == 0) Check(before);
      if (!program_.Step(signal)) return;
      ++steps_;
      const Registers after = program_.ReadRegisters();
      const bool was_delivered = signal != 0;
      signal = program_.stop_signal() == SIGTRAP ? 0 : program_.stop_signal();
      if (was_delivered && IsFarFrom(after.sp(), before.sp())) {
        EnterHandler(before, after);
      } else if (signal == 0 || after.pc() != before.pc()) {
        Follow(kind, before, after);
      }
    }
  }

  /// By function; what fails because no table describes a function is told apart, by the name of
  /// that one.
  [[nodiscard]] const std::map<std::string, Tally>& tallies() const { return tallies_; }
  [[nodiscard]] const std::map<std::string, Tally>& undescribed() const { return undescribed_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  static bool IsFarFrom(std::uint64_t a, std::uint64_t b) { return a + 256 < b || a > b + 256; }

  Kind KindAt(std::uint64_t pc) {
    const auto [place, inserted] = kinds_.try_emplace(pc, Kind::kOther);
    if (inserted) {
      std::array<std::byte, 16> code{};
      static_cast<void>(walked_.process().memory().ReadSome(RemoteAddress(pc), code));
      place->second = KindOf(code);
    }
    return place->second;
  }

  std::uint64_t Word(std::uint64_t address) {
    return walked_.process().memory().ReadValue<std::uint64_t>(RemoteAddress(address)).value_or(0);
  }

  void EnterHandler(const Registers& before, const Registers& after) {
    callers_.push_back({.slot = after.sp() + 8, .address = before.pc(), .is_interrupted = true});
    callers_.push_back({.slot = after.sp(), .address = Word(after.sp())});
    interrupted_sp_ = before.sp();
  }

  void Follow(Kind kind, const Registers& before, const Registers& after) {
    if (kind == Kind::kCall && after.sp() == before.sp() - 8) {
      callers_.push_back({.slot = after.sp(), .address = Word(after.sp())});
    } else if (kind == Kind::kReturn) {
      // The newest that fits: longjmp leaves some behind.
      const auto fits = [&](const Caller& caller) {
        return caller.slot + 8 == after.sp() && caller.address == after.pc();
      };
      const auto found = std::find_if(callers_.rbegin(), callers_.rend(), fits);
      if (found != callers_.rend()) callers_.erase(std::prev(found.base()), callers_.end());
    } else if (kind == Kind::kSystemCall) {
      constexpr std::uint64_t kSigreturn = 15;
      constexpr std::array<std::uint64_t, 3> kMapCalls = {9, 10, 11};  // mmap mprotect munmap
      const std::uint64_t number = before.values[0];
      if (number == kSigreturn) {
        while (!callers_.empty()) {
          const bool is_it = callers_.back().is_interrupted;
          callers_.pop_back();
          if (is_it) break;
        }
        interrupted_sp_ = 0;
      } else if (std::ranges::find(kMapCalls, number) != kMapCalls.end()) {
        kinds_.clear();
        walked_.RefreshSpace();
      }
    } else if (kind == Kind::kJumpTo && interrupted_sp_ == 0) {
      // longjmp: whose slot lies below the stack pointer is over.
      while (!callers_.empty() && callers_.back().slot < after.sp()) callers_.pop_back();
    }
  }

  std::string NameOf(std::uint64_t address) { return walked_.NameOf(address); }

  void Check(const Registers& registers) {
    const std::uint64_t top = callers_.empty() ? 0 : callers_.back().address;
    int& count = checks_[registers.pc() * 31 + top];
    if (count >= kChecksEach) return;
    ++count;
    ThreadSnapshot snapshot;
    snapshot.registers = registers;
    snapshot.stacks[0] =
        CopyStack(program_.pid(), registers.sp() - ThreadSnapshot::kRedZone, kStack);
    if (interrupted_sp_ != 0 && IsFarFrom(interrupted_sp_, registers.sp())) {
      snapshot.stacks[1] =
          CopyStack(program_.pid(), interrupted_sp_ - ThreadSnapshot::kRedZone, kStack);
    }
    Stack frames;
    const unwind::WalkResult result = walked_.Walk(snapshot, frames);

    const std::string culprit = Undescribed(registers.pc());
    Tally& tally = culprit.empty() ? tallies_[NameInTest(registers.pc())] : undescribed_[culprit];
    ++tally.checked;
    const std::size_t equal = CountEqual(registers.pc(), frames);
    if (equal < frames.size()) {
      ++tally.wrong;
    } else if (equal < callers_.size() + 1 || result.end != WalkEnd::kRoot) {
      ++tally.incomplete;
    } else {
      return;
    }
    if (!tally.example.empty()) return;
    tally.example = fmt::format(
        "at {:#x}: {} of {} frames, end {}, of {} true ones\n      ours:", registers.pc(), equal,
        frames.size(), static_cast<int>(result.end), callers_.size() + 1);
    for (std::size_t i = 0; i < std::min<std::size_t>(frames.size(), 12); ++i) {
      tally.example += fmt::format(" {}+{:#x}", frames[i].module->path, frames[i].address);
    }
    tally.example += "\n      true:";
    for (std::size_t i = 0; i < std::min<std::size_t>(callers_.size(), 12); ++i) {
      tally.example += ' ' + NameOf(callers_[callers_.size() - 1 - i].address);
    }
  }

  unwind::UnwindRule RuleAt(std::uint64_t address) {
    const unwind::CodeRegion* region = walked_.space().Find(address);
    if (region == nullptr || region->file == nullptr) return {};
    const unwind::CodeTables* tables = region->file->tables();
    return tables == nullptr ? unwind::UnwindRule{}
                             : tables->frames.Find(ElfAddress{address - region->bias});
  }

  // The first function of the true stack that has no table entry; "" when there is none.
  std::string Undescribed(std::uint64_t pc) {
    if (RuleAt(pc).cfa == unwind::CfaKind::kNone) return NameOf(pc);
    for (std::size_t i = callers_.size(); i-- > 0;) {
      const bool is_restorer = i > 0 && callers_[i - 1].is_interrupted;
      if (is_restorer) continue;
      const std::uint64_t address = callers_[i].address - (callers_[i].is_interrupted ? 0 : 1);
      if (RuleAt(address).cfa == unwind::CfaKind::kNone) return NameOf(address);
    }
    return "";
  }

  // __longjmp has a name in static programs only: it is the one whose frame lies where its argument
  // says (rdi).
  std::string NameInTest(std::uint64_t pc) {
    constexpr std::uint8_t kFirstArgument = 5;
    const unwind::UnwindRule rule = RuleAt(pc);
    if (rule.cfa == unwind::CfaKind::kRegister && rule.cfa_register == kFirstArgument) {
      return "[longjmp]";
    }
    return NameOf(pc);
  }

  // How many frames from the leaf on are those of the truth.
  std::size_t CountEqual(std::uint64_t pc, const Stack& frames) {
    for (std::size_t i = 0; i < frames.size(); ++i) {
      if (i > callers_.size()) return i;
      const bool is_leaf = i == 0;
      const Caller caller =
          is_leaf ? Caller{.address = pc, .is_interrupted = true} : callers_[callers_.size() - i];
      // The end of a handler is not called: its own address is as good.
      const bool is_restorer =
          !is_leaf && i < callers_.size() && callers_[callers_.size() - i - 1].is_interrupted;
      const bool fits = walked_.IsAt(frames[i], caller.address, caller.is_interrupted) ||
                        (is_restorer && walked_.IsAt(frames[i], caller.address, true));
      if (!fits) return i;
    }
    return frames.size();
  }

  TracedProgram& program_;
  Walked walked_;
  std::vector<Caller> callers_;
  std::uint64_t interrupted_sp_ = 0;
  std::unordered_map<std::uint64_t, Kind> kinds_;
  std::unordered_map<std::uint64_t, int> checks_;
  std::map<std::string, Tally> tallies_;
  std::map<std::string, Tally> undescribed_;
  std::uint64_t steps_ = 0;
};

// What may fail, and how often.
struct Allowed {
  std::string_view function;
  int most;
  std::string_view why;
};
constexpr std::array kAllowed = {
    Allowed{"[longjmp]", 20,
            "the caller's registers lie in the jmp_buf, which is not on the stack"},
    Allowed{"Drap", 4, "gcc's table is wrong for the instruction after the epilogue's pop %rbp"},
};
// Whole though no table describes them.
constexpr std::array kMustBeWhole = {std::string_view("AsmFramePointer"),
                                     std::string_view("AsmFramePointerLeave"),
                                     std::string_view("AsmNothing")};

std::string_view WithoutFile(std::string_view name) {
  const std::size_t colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

void Print(const std::string& function, const Tally& tally, std::string_view why) {
  fmt::print("  {}: {} instructions, {} wrong, {} incomplete{}{}\n", function, tally.checked,
             tally.wrong, tally.incomplete, why.empty() ? "" : ": ", why);
  if (why.empty()) fmt::print("    {}\n", tally.example);
}

void CheckTallies(const std::string& name, const StepTest& test) {
  int described = 0;
  int undescribed = 0;
  int undescribed_wrong = 0;
  int undescribed_failed = 0;
  for (const auto& [function, tally] : test.tallies()) {
    described += tally.checked;
    const int failed = tally.wrong + tally.incomplete;
    if (failed == 0) continue;
    const auto rule = std::ranges::find_if(kAllowed, [&](const Allowed& allowed) {
      return allowed.function == WithoutFile(function) && failed <= allowed.most;
    });
    const bool is_allowed = rule != kAllowed.end();
    Print(function, tally, is_allowed ? rule->why : "");
    CHECK(is_allowed);
  }
  for (const auto& [function, tally] : test.undescribed()) {
    undescribed += tally.checked;
    undescribed_wrong += tally.wrong;
    undescribed_failed += tally.wrong + tally.incomplete;
    if (std::ranges::find(kMustBeWhole, WithoutFile(function)) == kMustBeWhole.end()) continue;
    fmt::print("  {}, without a table: {} instructions, {} wrong, {} incomplete\n", function,
               tally.checked, tally.wrong, tally.incomplete);
    if (tally.wrong + tally.incomplete > 0) fmt::print("    {}\n", tally.example);
    CHECK(tally.wrong + tally.incomplete == 0);
  }
  fmt::print(
      "{}: {} steps, {} stacks checked in {} functions; {} more through code without a table, {} "
      "of "
      "them not whole\n",
      name, test.steps(), described, test.tallies().size(), undescribed, undescribed_failed);
  for (const auto& [function, tally] : test.undescribed()) {
    if (tally.wrong + tally.incomplete == 0) continue;
    fmt::print("    {}: {} of {} ({} wrong)\n", function, tally.wrong + tally.incomplete,
               tally.checked, tally.wrong);
  }
  CHECK(described > 2000);
  CHECK(undescribed_wrong == 0);
  CHECK(undescribed_failed * 100 <= undescribed);
}

// A C library without tables, known by what its instructions do (ScanCode): nothing may be
// invented.
void CheckScanned(const std::string& name, const StepTest& test) {
  Tally sum;
  for (const auto& [function, tally] : test.undescribed()) {
    sum.checked += tally.checked;
    sum.wrong += tally.wrong;
    sum.incomplete += tally.incomplete;
    if (tally.wrong + tally.incomplete > 0) Print(function, tally, "");
  }
  fmt::print("{}: {} stacks through code without a table, {} wrong, {} incomplete\n", name,
             sum.checked, sum.wrong, sum.incomplete);
  CHECK(sum.checked > 5000);
  CHECK(sum.wrong == 0);
  CHECK(sum.incomplete * 200 <= sum.checked);
}

void RunSteps(const std::string& name) {
  const std::string folder = AGENT_STEP_PROGRAMS;
  const std::string path = folder + '/' + name;
  if (!std::filesystem::exists(path)) {
    fmt::print("SKIP: no program {} (its compiler is not installed)\n", name);
    return;
  }
  std::vector<std::string> argv{path};
  if (name != "static" && !name.starts_with("musl")) {
    argv.push_back(folder + "/plugin1.so");
    argv.push_back(folder + "/plugin2.so");
  }
  auto program = TracedProgram::Start(argv);
  if (!program) {
    fmt::print("SKIP: ptrace is not permitted\n");
    return;
  }
  StepTest test(*program);
  test.Run();
  CHECK(WIFEXITED(program->status()));
  CHECK(WEXITSTATUS(program->status()) == 0);
  if (name.starts_with("musl")) {
    CheckScanned(name, test);
    return;
  }
  CheckTallies(name, test);
}

}  // namespace

TEST_CASE("steps: gcc without frame pointers") { RunSteps("omit_fp"); }
TEST_CASE("steps: gcc with frame pointers", "[full]") { RunSteps("keep_fp"); }
TEST_CASE("steps: gcc without optimization", "[full]") { RunSteps("no_opt"); }
TEST_CASE("steps: gcc with realigned stacks", "[full]") { RunSteps("realign"); }
TEST_CASE("steps: gcc for size", "[full]") { RunSteps("small"); }
TEST_CASE("steps: gcc without PLT", "[full]") { RunSteps("fast"); }
TEST_CASE("steps: gcc static") { RunSteps("static"); }
TEST_CASE("steps: clang") { RunSteps("clang"); }
TEST_CASE("steps: musl") { RunSteps("musl"); }
TEST_CASE("steps: musl static") { RunSteps("musl_static"); }

}  // namespace agent::live
#endif
