// SPDX-License-Identifier: Apache-2.0
// Stacks of a .NET process with the instruction pointers of its methods, as our spy walks them.
//
// usage: dotnet_walk PID
//
// For each line of input: looks at all threads of the process, one after the other, and prints a
// line for each and an empty line at the end. The process is to stand still meanwhile (SIGSTOP). A
// thread's line: its id; "root" where the walk came to the thread's first function, else the place
// where it was lost; its instruction pointer; and its methods from the leaf on, each an instruction
// pointer and the name as the metadata has it. All separated by tabs.
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>

#include "agent/process/live_process.h"
#include "spies/dotnet/layout.h"
#include "spies/dotnet/managed_frames.h"
#include "spies/dotnet/runtime.h"
#include "spies/unwind/unwinder.h"
#include "tests/live/traced_program.h"

namespace agent::live {
namespace {

using unwind::ManagedStep;
using unwind::WalkEnd;

constexpr std::uint64_t kMaxStack = 256u << 10;

class NoListener final : public unwind::ModuleListener {
 public:
  void OnModule(const Module&, std::shared_ptr<const ElfSource>, TargetProcess&) override {}
};

// Passes all on, and keeps the instruction pointers, which frames with a name do not have.
class Recorder final : public unwind::ManagedCode {
 public:
  struct Method {
    std::size_t place;  // in the walk's frames
    std::uint64_t pc;
  };

  explicit Recorder(unwind::ManagedCode& real) : real_(real) {}

  ManagedStep Step(const ThreadSnapshot& snapshot, bool is_exact, Registers& registers,
                   std::uint32_t& known, Stack& frames) override {
    // A walk may begin anew.
    const std::size_t place = frames.size();
    while (!methods_.empty() && methods_.back().place >= place) methods_.pop_back();
    const std::uint64_t pc = registers.pc();
    const ManagedStep step = real_.Step(snapshot, is_exact, registers, known, frames);
    if (frames.size() > place) methods_.push_back({.place = place, .pc = pc});
    return step;
  }

  void Clear() { methods_.clear(); }
  [[nodiscard]] const std::vector<Method>& methods() const { return methods_; }

 private:
  unwind::ManagedCode& real_;
  std::vector<Method> methods_;
};

// False: it is gone, or not ours to stop.
bool TakeSnapshot(Pid pid, Tid tid, unwind::Unwinder& unwinder, ThreadSnapshot& snapshot) {
  const auto id = static_cast<pid_t>(tid);
  if (::ptrace(PTRACE_SEIZE, id, nullptr, nullptr) != 0) return false;
  int status = 0;
  const bool stopped = ::ptrace(PTRACE_INTERRUPT, id, nullptr, nullptr) == 0 &&
                       ::waitpid(id, &status, __WALL) == id && WIFSTOPPED(status);
  if (stopped) {
    snapshot.registers = ReadRegistersOf(tid);
    snapshot.stacks[0] =
        CopyStack(pid, snapshot.registers.sp() - ThreadSnapshot::kRedZone, kMaxStack);
    unwinder.CopyMore(snapshot);
    ::ptrace(PTRACE_DETACH, id, nullptr, nullptr);
  }
  return stopped;
}

std::string PlaceOf(const Stack& frames) {
  if (frames.empty()) return "nowhere";
  const Frame& last = frames.back();
  return last.module == nullptr ? last.function->name
                                : fmt::format("{}+{:#x}", last.module->path, last.address);
}

void Print(Pid pid, Tid tid, unwind::Unwinder& unwinder, Recorder& recorder, MonotonicTime& now) {
  ThreadSnapshot snapshot;
  if (!TakeSnapshot(pid, tid, unwinder, snapshot)) return;
  Stack frames;
  unwind::WalkResult result;
  while (true) {
    frames.clear();
    recorder.Clear();
    // Mappings are read again whenever they are needed.
    now += std::chrono::seconds(1);
    result = unwinder.Walk(snapshot, now, frames);
    if (result.end != WalkEnd::kNotReady) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // a table is being compiled
  }
  fmt::print("{}\t{}\t{:x}", static_cast<pid_t>(tid),
             result.end == WalkEnd::kRoot ? "root" : PlaceOf(frames), snapshot.registers.pc());
  for (const Recorder::Method& method : recorder.methods()) {
    fmt::print("\t{:x},{}", method.pc, frames[method.place].function->name);
  }
  fmt::print("\n");
}

int Run(Pid pid) {
  LiveProcess process(pid);
  dotnet::RuntimeLocator locator;
  const auto location = locator.Locate(process);
  if (!location || !*location) return std::fputs("no runtime\n", stderr), 1;
  const dotnet::Layout* const layout = dotnet::LayoutOf((*location)->Major());
  if (layout == nullptr) return std::fputs("no layout\n", stderr), 1;
  const auto ranges = dotnet::CodeRangesOf(process.memory(), **location, *layout);
  if (!ranges || ranges->IsNull()) return std::fputs("not started\n", stderr), 1;
  FunctionTable functions;
  dotnet::ManagedFrames managed(process, *layout, *ranges, functions, /*raw_names=*/true);
  Recorder recorder(managed);
  NoListener listener;
  unwind::CodeFiles files(listener);
  unwind::Unwinder unwinder(process, files, /*runs_go=*/false, &recorder);
  MonotonicTime now;
  for (std::string line; std::getline(std::cin, line);) {
    const auto folder = fmt::format("/proc/{}/task", static_cast<pid_t>(pid));
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      Print(pid, Tid{std::stoi(entry.path().filename())}, unwinder, recorder, now);
    }
    fmt::print("\n");
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace agent::live

int main(int count, char** arguments) {
  if (count != 2) return 2;
  return agent::live::Run(agent::Pid{std::atoi(arguments[1])});
}
