// SPDX-License-Identifier: Apache-2.0
// usage: record_python PID FILE <STACKS
//
// Writes down what the Python spy reads of a process that has stopped, and the stacks that it told
// itself (tests/programs/standing.py). Status 1 when the spy finds others. See
// tests/support/record_python.py.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

#include "agent/format/gzip.h"
#include "spies/python/python_spy.h"
#include "tests/offline/noting_process.h"
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

using Files = std::map<std::pair<std::uint64_t, std::uint64_t>, FileFacts>;

void NoteFile(const Mapping& mapping, UniqueFd fd, Files& files) {
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

std::string ReadAll(std::istream& stream) { return {std::istreambuf_iterator<char>(stream), {}}; }

int Record(pid_t pid, const std::string& path) {
  Result<Recording> recording = ReadRecording(Gzip(ReadAll(std::cin)));
  if (!recording) {
    fmt::print(stderr, "stacks: {}\n", recording.error().Message());
    return 1;
  }
  NotingProcess process(Pid{pid}, [&](const Mapping& mapping, UniqueFd fd) {
    NoteFile(mapping, std::move(fd), recording->files);
  });
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
    const std::vector<std::string> frames = ReadThread(**spy, thread);
    if (frames == thread.frames) continue;
    same = false;
    fmt::print(stderr, "read  {}\nto be {}\n", fmt::join(frames, " < "),
               fmt::join(thread.frames, " < "));
  }
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  recording->maps = ReadAll(maps);
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
