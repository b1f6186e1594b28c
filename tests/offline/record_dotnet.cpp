// SPDX-License-Identifier: Apache-2.0
// usage: record_dotnet PID FILE <THREADS
//
// Writes down what the .NET spy reads of a process that has stopped (SIGSTOP), and the whole stacks
// that it finds of the threads told ("thread TID" lines, hexadecimal). Prints those for who knows
// the truth: tests/support/record_dotnet.py, which is what to run. Status 1 when the recording does
// not give the same stacks.
//
// Of what was read in bulk (metadata, functions of ReadyToRun images: 5 MB of CoreLib's) only that
// is kept without which the stacks, or the names that the spy checks a layout by, are others. Of
// ELF files the unwind entries of the machine code on the stacks are kept.
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "agent/format/gzip.h"
#include "spies/dotnet/contract_descriptor.h"
#include "spies/dotnet/managed_frames.h"
#include "spies/unwind/cfi_reader.h"
#include "spies/unwind/eh_frame.h"
#include "tests/live/traced_program.h"
#include "tests/offline/dotnet_replay.h"
#include "tests/offline/noting_process.h"
#include "tests/offline/recorded_process.h"
#include "tests/support/cfi_bytes.h"

namespace agent::offline {
namespace {

// What spies/dotnet looks for in a file.
constexpr std::array kSymbols = {"g_dacTable", dotnet::ContractDescriptor::kSymbol};
constexpr std::array kVersionSections = {".data", ".rodata"};
constexpr std::string_view kVersionMark = "@(#)Version ";
constexpr std::size_t kVersionSize = 128;

constexpr std::uint64_t kMaxStack = 256u << 10;
// What the runtime tells of its structures is smaller.
constexpr std::size_t kBulk = 32u << 10;
// sizeof(RUNTIME_FUNCTION): their order is checked.
constexpr std::size_t kPeriod = sizeof(dotnet::RuntimeFunction);

using AddressesByPath = std::map<std::string, std::set<std::uint64_t>, std::less<>>;

std::string ReadAll(std::istream& stream) { return {std::istreambuf_iterator<char>(stream), {}}; }

std::vector<std::byte> BytesOfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text = ReadAll(file);
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void PutBytes(std::span<const std::byte> bytes, Bytes& to) {
  for (const std::byte byte : bytes) to.Put(byte);
}

// .eh_frame with no other entries than those for `addresses`. Pointers are absolute.
FileFacts::Content UnwindEntries(const ElfFile& elf, const std::set<std::uint64_t>& addresses) {
  const unwind::EhFrame frame(elf);
  const unwind::CfiEntries entries =
      unwind::ReadCfiEntries(frame.bytes, frame.address, unwind::CfiFormat::kEhFrame);
  Bytes section;
  for (const unwind::Fde& fde : entries.fdes) {
    const auto address = addresses.lower_bound(fde.start);
    if (address == addresses.end() || *address - fde.start >= fde.size) continue;
    const unwind::Cie& cie = entries.cies[fde.cie];
    Bytes common;
    common.U32(0).U8(1).Text(cie.is_signal_frame ? "zRS" : "zR").Uleb(cie.code_alignment);
    common.Sleb(cie.data_alignment).U8(static_cast<unsigned>(cie.return_column)).Uleb(1).U8(0);
    PutBytes(cie.instructions, common);
    const std::size_t place = section.size();
    section.Append(Entry(common));
    Bytes description;
    description.U32(section.size() + 4 - place).U64(fde.start).U64(fde.size).Uleb(0);
    PutBytes(fde.instructions, description);
    section.Append(Entry(description));
  }
  return {.address = ElfAddress{frame.address}, .bytes = section.get()};
}

FileFacts FactsOf(const ElfFile& elf, const std::set<std::uint64_t>& addresses) {
  FileFacts facts;
  facts.segments = elf.load_segments();
  for (const char* name : kSymbols) {
    if (const auto range = elf.FindSymbol(name)) facts.symbols[name] = *range;
  }
  for (const char* name : kVersionSections) {
    const auto section = elf.ReadSection(name);
    if (facts.symbols.empty() || !section) continue;
    const std::string_view text(reinterpret_cast<const char*>(section->bytes.data()),
                                section->bytes.size());
    const std::size_t mark = text.find(kVersionMark);
    if (mark == std::string_view::npos) continue;
    const auto version =
        section->bytes.subspan(mark).first(std::min(kVersionSize, section->bytes.size() - mark));
    facts.contents[name] = {.address = section->address, .bytes = {version.begin(), version.end()}};
  }
  FileFacts::Content entries = UnwindEntries(elf, addresses);
  if (!entries.bytes.empty()) facts.contents[".eh_frame"] = std::move(entries);
  return facts;
}

// The files that the spy has opened, under what the recording knows them by.
class OpenedFiles {
 public:
  void Note(const Mapping& mapping, UniqueFd fd) {
    const auto [place, is_new] = files_.try_emplace({mapping.device, mapping.inode});
    if (!is_new) return;
    place->second.path = mapping.path;
    if (Result<ElfFile> elf = ElfFile::Open(std::move(fd))) place->second.elf = *std::move(elf);
  }
  // Those of use.
  void AddTo(Recording& recording, const AddressesByPath& addresses) const {
    for (const auto& [key, file] : files_) {
      if (!file.elf) continue;
      const auto on_stacks = addresses.find(file.path);
      recording.files[key] = FactsOf(
          *file.elf, on_stacks == addresses.end() ? std::set<std::uint64_t>() : on_stacks->second);
    }
  }

 private:
  struct Opened {
    std::string path;
    std::optional<ElfFile> elf;
  };
  std::map<std::pair<std::uint64_t, std::uint64_t>, Opened> files_;
};

// Those beside modules; the spy opens them by their paths.
void AddPdbs(Recording& recording) {
  for (const Mapping& mapping : ParseMappings(recording.maps)) {
    const std::string pdb = std::filesystem::path(mapping.path).replace_extension(".pdb").string();
    if (!mapping.path.ends_with(".dll") || !std::filesystem::exists(pdb)) continue;
    recording.root[pdb] = BytesOfFile(pdb);
  }
}

bool TakeSnapshot(Pid pid, Recording::Thread& thread) {
  const auto tid = static_cast<pid_t>(thread.tid);
  int status = 0;
  if (::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) return false;
  const bool stopped = ::ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) == 0 &&
                       ::waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status);
  if (stopped) {
    ThreadSnapshot& snapshot = thread.snapshot;
    snapshot.registers = live::ReadRegistersOf(Tid{tid});
    snapshot.stacks[0] =
        live::CopyStack(pid, snapshot.registers.sp() - ThreadSnapshot::kRedZone, kMaxStack);
    std::ifstream comm(fmt::format("/proc/{}/task/{}/comm", static_cast<pid_t>(pid), tid));
    std::getline(comm, snapshot.comm);
    ::ptrace(PTRACE_DETACH, tid, nullptr, nullptr);
  }
  return stopped;
}

// Snapshot and stack. The snapshot ends where the stack does.
bool RecordThread(Pid pid, Spy& spy, Recording::Thread& thread, AddressesByPath& addresses) {
  if (!TakeSnapshot(pid, thread)) return std::perror("ptrace"), false;
  Stack stack;
  StackExtent extent;
  const StackOutcome outcome = ReadSnapshot(spy, thread, extent, stack);
  thread.frames = LinesOf(stack);
  if (outcome != StackOutcome::kStack) {
    fmt::print(stderr, "thread {}: outcome {} after {}\n", static_cast<pid_t>(thread.tid),
               static_cast<int>(outcome), fmt::join(thread.frames, " < "));
    return false;
  }
  StackCopy& copy = thread.snapshot.stacks[0];
  copy.bytes.resize(std::min<std::size_t>(copy.bytes.size(), extent.end - copy.start));
  for (const Frame& frame : stack) {
    if (frame.module != nullptr) addresses[frame.module->path].insert(frame.address);
  }
  return true;
}

// Of the methods that the spy checks its layout by.
std::size_t ReadableMethods(TargetProcess& process) {
  dotnet::RuntimeLocator locator;
  const auto location = locator.Locate(process);
  if (!location || !*location) return 0;
  const dotnet::Layout* const layout = dotnet::LayoutOf((*location)->Major());
  const auto ranges = process.memory().ReadValue<std::uint64_t>((*location)->dac_table);
  if (layout == nullptr || !ranges) return 0;
  FunctionTable functions;
  dotnet::ManagedFrames frames(process, *layout, RemoteAddress(*ranges), functions,
                               /*raw_names=*/false);
  const auto check = frames.CheckLayout();
  return check ? check->readable : 0;
}

// Whether the recording says what it is to say; `differs` is told of each thread of which not.
template <typename Differs>
bool IsTrue(const Recording& recording, TablesOfFiles& tables, std::size_t readable,
            Differs differs) {
  RecordedProcess process(recording);
  const DotnetReplay replay(process, tables);
  if (replay.spy() == nullptr || replay.spy()->Runtime() != recording.runtime) {
    differs(recording.threads.front(), std::vector<std::string>{replay.reason()});
    return false;
  }
  for (const Recording::Thread& thread : recording.threads) {
    const std::vector<std::string> frames = ReadThread(*replay.spy(), thread);
    if (frames == thread.frames) continue;
    differs(thread, frames);
    return false;
  }
  return ReadableMethods(process) == readable;
}

// Leaves out of `grains` what `is_true` does not need.
class Reduction {
 public:
  Reduction(Pages& pages, const std::function<bool()>& is_true)
      : pages_(pages), is_true_(is_true) {}

  void Reduce(std::span<const std::uint64_t> grains) {
    std::vector<std::array<std::byte, kGrain>> before;
    before.reserve(grains.size());
    for (const std::uint64_t grain : grains) before.push_back(Fill(grain));
    if (is_true_()) return;
    for (std::size_t i = 0; i < grains.size(); ++i) {
      std::memcpy(BytesAt(grains[i]), before[i].data(), kGrain);
    }
    kept_ += grains.size() == 1 ? 1 : 0;
    if (grains.size() == 1) return;
    Reduce(grains.first(grains.size() / 2));
    Reduce(grains.subspan(grains.size() / 2));
  }
  [[nodiscard]] std::size_t kept() const { return kept_; }

 private:
  std::byte* BytesAt(std::uint64_t address) {
    return pages_.at(address / kPage * kPage).data() + address % kPage;
  }
  // With what stands before it, over and over: so functions stay in order. Returns what was there.
  std::array<std::byte, kGrain> Fill(std::uint64_t grain) {
    std::array<std::byte, kPeriod> pattern{};
    const std::uint64_t from = grain - kPeriod;
    if (pages_.contains(from / kPage * kPage)) {
      std::memcpy(pattern.data(), BytesAt(from), kPeriod);
    }
    std::array<std::byte, kGrain> before{};
    std::byte* const bytes = BytesAt(grain);
    std::memcpy(before.data(), bytes, kGrain);
    for (std::size_t i = 0; i < kGrain; ++i) bytes[i] = pattern[i % kPeriod];
    return before;
  }

  Pages& pages_;
  const std::function<bool()>& is_true_;
  std::size_t kept_ = 0;
};

// What the spy finds in the live process, and what it reads for that.
std::optional<Recording> ReadLive(Recording recording, NotingProcess& process,
                                  const OpenedFiles& files, std::size_t& readable) {
  TablesOfFiles tables;
  const DotnetReplay live(process, tables);
  if (live.spy() == nullptr) {
    fmt::print(stderr, "refused: {}\n", live.reason());
    return std::nullopt;
  }
  recording.runtime = live.spy()->Runtime();
  AddressesByPath addresses;
  for (Recording::Thread& thread : recording.threads) {
    if (!RecordThread(process.pid(), *live.spy(), thread, addresses)) return std::nullopt;
  }
  readable = ReadableMethods(process);
  std::ifstream maps(fmt::format("/proc/{}/maps", static_cast<pid_t>(process.pid())));
  recording.maps = ReadAll(maps);
  files.AddTo(recording, addresses);
  AddPdbs(recording);
  recording.pages = process.memory().ReadPages();
  return recording;
}

int Record(pid_t pid, const std::string& path) {
  Result<Recording> threads = ReadRecording(Gzip(ReadAll(std::cin)));
  if (!threads || threads->threads.empty()) return std::fputs("no threads\n", stderr), 1;
  OpenedFiles files;
  NotingProcess process(
      Pid{pid}, [&](const Mapping& mapping, UniqueFd fd) { files.Note(mapping, std::move(fd)); });
  std::size_t readable = 0;
  std::optional<Recording> recording = ReadLive(*std::move(threads), process, files, readable);
  if (!recording) return 1;
  TablesOfFiles tables;
  const auto tell = [](const Recording::Thread& thread, const std::vector<std::string>& frames) {
    fmt::print(stderr, "thread {}\nreads {}\nto be {}\n", static_cast<pid_t>(thread.tid),
               fmt::join(frames, " < "), fmt::join(thread.frames, " < "));
  };
  if (!IsTrue(*recording, tables, readable, tell)) {
    return std::fputs("the recording does not say the same as the process\n", stderr), 1;
  }
  const std::size_t whole = WriteRecording(*recording).size();
  std::vector<std::uint64_t> bulk = process.memory().ReadInBulk(kBulk);
  std::erase_if(
      bulk, [&](std::uint64_t grain) { return !recording->pages.contains(grain / kPage * kPage); });
  const std::function<bool()> is_true = [&] {
    return IsTrue(*recording, tables, readable, [](const auto&, const auto&) {});
  };
  Reduction reduction(recording->pages, is_true);
  if (!bulk.empty()) reduction.Reduce(bulk);
  const std::string bytes = WriteRecording(*recording);
  std::ofstream(path, std::ios::binary) << bytes;
  for (const Recording::Thread& thread : recording->threads) {
    fmt::print("thread {:x}\n", static_cast<pid_t>(thread.tid));
    for (const std::string& frame : thread.frames) fmt::print("frame {}\n", frame);
  }
  fmt::print(stderr,
             "{}: {} threads, {} methods checked by; {} of {} grains read in bulk are kept: {} "
             "bytes of {}\n",
             recording->runtime, recording->threads.size(), readable, reduction.kept(), bulk.size(),
             bytes.size(), whole);
  return 0;
}

}  // namespace
}  // namespace agent::offline

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return agent::offline::Record(std::atoi(argv[1]), argv[2]);
}
