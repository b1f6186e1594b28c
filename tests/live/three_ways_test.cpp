// SPDX-License-Identifier: Apache-2.0
// The same snapshots of real programs walked by our tables, by libunwind and by libdw.
// AGENT_SNAPSHOTS=N takes N of each program, 20 else; AGENT_PROGRAM=python3 takes that one alone.
#if defined(__x86_64__)
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "spies/unwind/slow_unwinder.h"
#include "tests/live/libdw_walk.h"
#include "tests/live/traced_program.h"
#include "tests/live/walked.h"
#include "tests/support/catch.h"

namespace agent::live {
namespace {

using unwind::WalkEnd;

constexpr std::uint64_t kMaxStack = 1u << 20;
constexpr std::size_t kMostFrames = 400;  // libunwind starts anew for each

// How ours compares with another walk of the same snapshot.
enum class Verdict : std::uint8_t {
  kEqual,
  kOthersEndEarlier,  // and are equal up to there
  kOursEndsEarlier,
  kDifferent,
  kNoTable,  ///< Different, behind code that no table describes: the others guess there.
};

struct Counts {
  std::array<int, 5> verdicts{};
  std::vector<std::string> examples;
  int& operator[](Verdict verdict) { return verdicts[static_cast<std::size_t>(verdict)]; }
};

struct Row {
  int snapshots = 0;
  std::size_t frames = 0;
  int whole = 0;  // ours came to the root
  Counts libunwind;
  Counts libdw;
};

std::vector<OtherFrame> WalkByLibunwind(unwind::SlowUnwinder& slow,
                                        const ThreadSnapshot& snapshot) {
  std::vector<OtherFrame> frames{{.pc = snapshot.registers.pc(), .is_exact = true}};
  while (frames.size() < kMostFrames) {
    const std::optional<Registers> registers = slow.Step(snapshot, frames.size());
    if (!registers || registers->pc() == 0) break;
    frames.push_back({.pc = registers->pc(), .is_exact = false});
  }
  return frames;
}

bool HasTable(Walked& walked, std::uint64_t pc) {
  const unwind::CodeRegion* region = walked.space().Find(pc);
  const unwind::CodeTables* tables =
      region == nullptr || region->file == nullptr ? nullptr : region->file->tables();
  if (tables == nullptr) return false;
  const ElfAddress address{pc - region->bias};
  return tables->frames.Find(address).cfa != unwind::CfaKind::kNone ||
         tables->RuleAt(address).cfa != unwind::CfaKind::kNone;
}

Verdict Compare(Walked& walked, const Stack& ours, const std::vector<OtherFrame>& theirs,
                std::size_t* at) {
  const std::size_t common = std::min(ours.size(), theirs.size());
  for (*at = 0; *at < common; ++*at) {
    // Each has its own idea of where a signal handler returns to.
    const std::uint64_t pc = theirs[*at].pc;
    if (!walked.IsAt(ours[*at], pc, false) && !walked.IsAt(ours[*at], pc, true)) {
      const bool guessed = *at > 0 && !HasTable(walked, theirs[*at - 1].pc);
      return guessed ? Verdict::kNoTable : Verdict::kDifferent;
    }
  }
  if (ours.size() < theirs.size()) return Verdict::kOursEndsEarlier;
  return ours.size() > theirs.size() ? Verdict::kOthersEndEarlier : Verdict::kEqual;
}

void Count(Walked& walked, const Stack& ours, WalkEnd end, const std::vector<OtherFrame>& theirs,
           Counts& counts) {
  constexpr std::size_t kExamples = 3;
  std::size_t at = 0;
  const Verdict verdict = Compare(walked, ours, theirs, &at);
  ++counts[verdict];
  if (verdict == Verdict::kEqual || verdict == Verdict::kOthersEndEarlier ||
      counts.examples.size() >= kExamples) {
    return;
  }
  std::string text = fmt::format("frame {} of {} (theirs: {}), our end {}; ours:", at, ours.size(),
                                 theirs.size(), static_cast<int>(end));
  const std::size_t from = at > 2 ? at - 2 : 0;
  for (std::size_t i = from; i < std::min(ours.size(), at + 3); ++i) {
    const std::string& path = ours[i].module->path;
    text += fmt::format(" {}+{:#x}", path.substr(path.rfind('/') + 1), ours[i].address);
  }
  text += "; theirs:";
  for (std::size_t i = from; i < std::min(theirs.size(), at + 3); ++i) {
    const unwind::CodeRegion* region = walked.space().Find(theirs[i].pc);
    text += fmt::format(" {}({:#x})", walked.NameOf(theirs[i].pc),
                        theirs[i].pc - (region == nullptr ? 0 : region->bias));
  }
  counts.examples.push_back(std::move(text));
}

int WantedSnapshots() {
  const char* text = std::getenv("AGENT_SNAPSHOTS");
  return text == nullptr ? 20 : std::atoi(text);
}

Row Measure(const std::vector<std::string>& argv) {
  constexpr int kStartUp = 30'000;  // us
  constexpr int kMostStarts = 50;
  Row row;
  const int wanted = WantedSnapshots();
  unsigned seed = 1;
  for (int starts = 0; starts < kMostStarts && row.snapshots < wanted; ++starts) {
    auto program = TracedProgram::Start(argv);
    if (!program) return row;
    Walked walked(program->pid());
    unwind::SlowUnwinder slow(walked.process().memory(), walked.space());
    std::optional<LibdwWalk> libdw;
    std::uint32_t generation = 0;
    int pause = kStartUp;
    std::uint64_t own_sp = 0;
    while (row.snapshots < wanted && program->RunFor(pause)) {
      pause = 500 + static_cast<int>(seed = seed * 1103515245 + 12345) / 65536 % 3000;
      pause = std::max(pause, 200);
      const Registers registers = program->ReadRegisters();
      ThreadSnapshot snapshot;
      snapshot.registers = registers;
      snapshot.stacks[0] =
          CopyStack(program->pid(), registers.sp() - ThreadSnapshot::kRedZone, kMaxStack);
      // As for a thread that has been on another stack before.
      constexpr std::uint64_t kPage = 4096;
      if (own_sp != 0 && registers.sp() - own_sp + kMaxStack > 2 * kMaxStack) {
        snapshot.stacks[1] = CopyStack(program->pid(), own_sp / kPage * kPage, kMaxStack);
      }
      walked.RefreshSpace();
      if (!libdw || generation != walked.space().generation()) {
        generation = walked.space().generation();
        libdw.emplace(program->pid(), walked.process().memory());
      }
      Stack frames;
      const unwind::WalkResult result = walked.Walk(snapshot, frames);
      ++row.snapshots;
      row.frames += frames.size();
      if (result.end == WalkEnd::kRoot) {
        ++row.whole;
        if (!result.changed_stack) own_sp = registers.sp();
      }
      Count(walked, frames, result.end, WalkByLibunwind(slow, snapshot), row.libunwind);
      Count(walked, frames, result.end, libdw->Walk(snapshot), row.libdw);
    }
  }
  return row;
}

struct Program {
  std::string_view name;
  std::vector<std::string> argv;
  /// Else one guesses better than the other: at the first instructions of JIT code, in C code
  /// without tables (musl), and where Go's signal handlers return to, which .debug_frame does not
  /// describe.
  bool has_tables = true;
  /// To be whole in all but some of them, where the others cannot tell (ScanCode).
  bool is_whole = false;
};

std::vector<Program> Programs() {
  const std::string folder = AGENT_STEP_PROGRAMS;
  const std::string big = "/usr/lib/gcc/x86_64-linux-gnu/12/cc1plus";
  static const std::string source = "/tmp/agent-live-" + std::to_string(::getpid()) + ".cpp";
  std::ofstream(source) << "#include <regex>\n#include <map>\n#include <functional>\n"
                           "std::regex r(\"a+b*(c|d)\"); std::map<int, std::function<int()>> m;\n";
  return {
      {"python3",
       {"python3", "-c",
        "import json, re\nfor i in range(10**7):\n  json.loads(json.dumps({'a': [i, 'x' * 50]}))\n"
        "  re.sub('(a|b)+', lambda m: m[0].upper(), 'xaabbx' * 20)\n  sorted(range(300), "
        "key=lambda "
        "x: -x)"}},
      {"node",
       {"node", "-e",
        "let s=0; function f(n){return n<2?n:f(n-1)+f(n-2)} for(;;){s+=f(20); "
        "JSON.parse(JSON.stringify({a:[s,'x'.repeat(50)]})); 'abcabc'.replace(/b+/g, x=>x+x); "
        "[3,1,2].sort((a,b)=>a-b)}"},
       false},
      {"openssl", {"openssl", "speed", "-seconds", "30", "rsa2048"}},
      {"openssl sha512", {"openssl", "speed", "-seconds", "30", "-evp", "sha512"}},
      {"cc1plus", {big, "-quiet", "-O2", source, "-o", "/dev/null"}},
      {"xz", {"xz", "-9", "-c", big}},
      {"perl",
       {"perl", "-e",
        "while(1){my %h; for my $i (1..2000){my $k=\"key$i\"; $k=~s/(\\d+)/<$1>/; $h{$k}=$i} "
        "my @s=sort {$h{$a}<=>$h{$b}} keys %h}"}},
      {"git",
       {"git", "-C", "/", "diff", "--no-index", "--patience", "--stat", "/usr/include",
        "/usr/lib/gcc"}},
      {"bash",
       {"bash", "-c", "f() { local i=$1; (( i > 0 )) && f $((i-1)); }; while :; do f 40; done"}},
      {"static", {folder + "/busy_static"}},
      {"musl", {folder + "/busy_musl"}, false, true},
      {"musl static", {folder + "/busy_musl_static"}, false, true},
      {"go", {folder + "/busy_go"}, false},
  };
}

}  // namespace

TEST_CASE("three ways: ours, libunwind and libdw on the same snapshots") {
  fmt::print(
      "{:15} {:>9} {:>7} {:>6} | libunwind: equal, ends earlier, ours earlier, different, "
      "different behind code without a table | "
      "libdw: the same\n",
      "program", "snapshots", "frames", "whole");
  int snapshots = 0;
  int programs = 0;
  const char* only = std::getenv("AGENT_PROGRAM");  // one of them
  for (const Program& program : Programs()) {
    if (only != nullptr && program.name != only) continue;
    const Row row = Measure(program.argv);
    if (row.snapshots == 0) {
      fmt::print("{:15} SKIP: not installed, or ptrace is not permitted\n", program.name);
      continue;
    }
    snapshots += row.snapshots;
    ++programs;
    const auto& u = row.libunwind.verdicts;
    const auto& d = row.libdw.verdicts;
    fmt::print("{:15} {:9} {:7} {:6} | {:6} {:6} {:6} {:6} {:6} | {:6} {:6} {:6} {:6} {:6}\n",
               program.name, row.snapshots, row.frames, row.whole, u[0], u[1], u[2], u[3], u[4],
               d[0], d[1], d[2], d[3], d[4]);
    // libunwind alone may be wrong: it takes code without a table to keep a frame pointer, and its
    // return addresses on trust.
    const int bad = d[2] + d[3];
    CHECK(bad * 200 <= row.snapshots * (program.has_tables ? 1 : 200));
    if (program.is_whole) CHECK(row.whole * 100 >= row.snapshots * 95);
    for (const std::string& example : row.libunwind.examples) {
      fmt::print("    libunwind: {}\n", example);
    }
    for (const std::string& example : row.libdw.examples) fmt::print("    libdw: {}\n", example);
  }
  fmt::print("{} snapshots of {} programs\n", snapshots, programs);
}

}  // namespace agent::live
#endif
