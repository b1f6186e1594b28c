// SPDX-License-Identifier: Apache-2.0
// usage: record_python PID FILE <STACKS
//
// Writes down what the Python spy reads of a process that has stopped, and the stacks that it told
// itself (tests/programs/standing.py). Status 1 when the spy finds others. See
// tests/support/record_python.py.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>

#include "agent/format/gzip.h"
#include "agent/process/live_process.h"
#include "spies/python/python_spy.h"
#include "tests/offline/read_threads.h"
#include "tests/offline/recording.h"

namespace agent::offline {
namespace {

// What spies/python looks for in a file.
constexpr std::array kSymbols = {"_PyRuntime",
                                 "Py_Version",
                                 "PyCode_Type",
                                 "PyFrame_Type",
                                 "Py_NewRef",
                                 "PyFrame_GetCode",
                                 "PyCode_NewWithPosOnlyArgs",
                                 "PyInterpreterState_GetID",
                                 "PyOS_FSPath"};
constexpr std::array kSections = {".PyRuntime", ".bss"};

// What is kept together: with whole pages a recording has three times the size.
constexpr std::uint64_t kGrain = 256;

// Remembers what was read.
class NotingMemory final : public ProcessMemory {
 public:
  explicit NotingMemory(ProcessMemory& live) : live_(live) {}

  Result<void> ReadRanges(std::span<const ReadRange> ranges) override {
    for (const ReadRange& range : ranges) Note(range.address, range.destination.size());
    return live_.ReadRanges(ranges);
  }
  Result<std::size_t> ReadSome(RemoteAddress address, std::span<std::byte> destination) override {
    Note(address, destination.size());
    return live_.ReadSome(address, destination);
  }
  /// All of it once more, in pages that are zero elsewhere.
  [[nodiscard]] Pages ReadPages() {
    Pages pages;
    std::array<std::byte, kGrain> bytes{};
    for (const std::uint64_t address : noted_) {
      if (!live_.Read(RemoteAddress(address), bytes)) continue;
      std::ranges::copy(bytes, pages[address / kPage * kPage].begin() +
                                   static_cast<std::ptrdiff_t>(address % kPage));
    }
    return pages;
  }

 private:
  void Note(RemoteAddress address, std::size_t size) {
    if (size == 0) return;
    const std::uint64_t last = address.Plus(size - 1).value() / kGrain;
    for (std::uint64_t grain = address.value() / kGrain; grain <= last; ++grain)
      noted_.insert(grain * kGrain);
  }

  ProcessMemory& live_;
  std::set<std::uint64_t> noted_;
};

// Notes what files are opened as well.
class NotingProcess final : public TargetProcess {
 public:
  explicit NotingProcess(Pid pid) : live_(pid), memory_(live_.memory()) {}

  [[nodiscard]] Pid pid() const override { return live_.pid(); }
  [[nodiscard]] NotingMemory& memory() override { return memory_; }
  Result<std::vector<Mapping>> ReadMappings() override { return live_.ReadMappings(); }
  Result<UniqueFd> OpenMappedFile(const Mapping& mapping) override {
    if (Result<UniqueFd> file = live_.OpenMappedFile(mapping)) NoteFile(mapping, *std::move(file));
    return live_.OpenMappedFile(mapping);
  }
  [[nodiscard]] bool IsStillMapped(const Mapping& mapping) override {
    return live_.IsStillMapped(mapping);
  }
  Result<UniqueFd> OpenRoot() override { return live_.OpenRoot(); }

  std::map<std::pair<std::uint64_t, std::uint64_t>, FileFacts> files;

 private:
  void NoteFile(const Mapping& mapping, UniqueFd fd) {
    const Result<ElfFile> file = ElfFile::Open(std::move(fd));
    if (!file || !file->FindSymbol("_PyRuntime")) return;
    FileFacts facts;
    facts.segments = file->load_segments();
    for (const char* name : kSymbols) {
      if (const auto range = file->FindSymbol(name)) facts.symbols[name] = *range;
    }
    for (const char* name : kSections) {
      if (const auto range = file->FindSection(name)) facts.sections[name] = *range;
    }
    files[{mapping.device, mapping.inode}] = facts;
  }

  LiveProcess live_;
  NotingMemory memory_;
};

std::string ReadAll(std::istream& stream) { return {std::istreambuf_iterator<char>(stream), {}}; }

int Record(pid_t pid, const std::string& path) {
  Result<Recording> recording = ReadRecording(Gzip(ReadAll(std::cin)));
  if (!recording) {
    fmt::print(stderr, "stacks: {}\n", recording.error().Message());
    return 1;
  }
  NotingProcess process{Pid{pid}};
  FunctionTable functions;
  python::PythonSpyFactory factory(functions);
  auto spy = factory.Attach(process);
  if (!spy) {
    fmt::print(stderr, "refused: {}\n", spy.error().reason);
    return 1;
  }
  recording->runtime = (*spy)->Runtime();
  bool same = true;
  for (const Recording::Thread& thread : recording->threads) {
    const std::vector<std::string> frames = ReadThread(**spy, thread.tid);
    if (frames == thread.frames) continue;
    same = false;
    fmt::print(stderr, "read  {}\nto be {}\n", fmt::join(frames, " < "),
               fmt::join(thread.frames, " < "));
  }
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  recording->maps = ReadAll(maps);
  recording->files = process.files;
  recording->pages = process.memory().ReadPages();
  std::ofstream(path, std::ios::binary) << WriteRecording(*recording);
  fmt::print("{}: {} threads, {} pages\n", recording->runtime, recording->threads.size(),
             recording->pages.size());
  return same ? 0 : 1;
}

}  // namespace
}  // namespace agent::offline

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return agent::offline::Record(std::atoi(argv[1]), argv[2]);
}
