// SPDX-License-Identifier: Apache-2.0
// What naming costs: random addresses of a file's code, cold (nothing open yet) and warm.
//
//   bench_symbolize FILE [COUNT]           prints times and memory
//   bench_symbolize FILE --print COUNT     prints the addresses and their names, for comparison
//   with
//                                          another symbolizer; with --addresses those on stdin
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "agent/elf/elf_file.h"
#include "agent/profile/profile.h"
#include "symbolizer/symbolizer.h"

using namespace agent;

namespace {

std::vector<std::uint64_t> RandomAddresses(const ElfFile& file, std::size_t count) {
  const auto text = file.FindSection(".text");
  std::vector<std::uint64_t> addresses;
  if (!text || text->size == 0) return addresses;
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < count; ++i) {
    addresses.push_back(static_cast<std::uint64_t>(text->address) + random() % text->size);
  }
  std::ranges::sort(addresses);
  const auto repeated = std::ranges::unique(addresses);
  addresses.erase(repeated.begin(), repeated.end());
  return addresses;
}

std::vector<std::uint64_t> AddressesOnStdin() {
  std::vector<std::uint64_t> addresses;
  std::string line;
  while (std::getline(std::cin, line))
    addresses.push_back(std::strtoull(line.c_str(), nullptr, 16));
  return addresses;
}

Profile WindowOf(const Module& module, const std::vector<std::uint64_t>& addresses) {
  Profile window(WallTime(), Nanoseconds(0));
  const ThreadIndex thread = window.InternThread(ThreadInfo{});
  for (const std::uint64_t address : addresses) {
    Frame frame;
    frame.module = &module;
    frame.address = address;
    window.Add(window.InternStack({&frame, 1}), thread, SampleKind::kCpu, WallTime(),
               {.count = 1, .cpu_ns = 1});
  }
  return window;
}

ModuleSource SourceOf(const std::string& path) {
  ModuleSource source;
  source.elf = std::make_shared<const ElfSource>(UniqueFd(::open(path.c_str(), O_RDONLY)));
  source.root = UniqueFd(::open("/", O_PATH | O_DIRECTORY));
  return source;
}

double CpuMilliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// "elapsed (CPU time)", in ms: the machine may be busy with other things.
std::string Milliseconds(auto&& what) {
  const double cpu = CpuMilliseconds();
  const auto start = std::chrono::steady_clock::now();
  what();
  const std::chrono::duration<double, std::milli> elapsed =
      std::chrono::steady_clock::now() - start;
  return fmt::format("{:.2f} ms ({:.2f})", elapsed.count(), CpuMilliseconds() - cpu);
}

long PeakMegabytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

int Print(const Module& module, const std::string& path,
          const std::vector<std::uint64_t>& addresses) {
  Symbolizer symbolizer(Demangle::kFull);
  symbolizer.AddModule(&module, SourceOf(path));
  for (const std::uint64_t address : addresses) {
    const auto named = symbolizer.Name(WindowOf(module, {address}));
    for (const Frame& frame : named->StackFrames(named->Entries().front().key.stack)) {
      std::cout << fmt::format("{:#x}\t{}\t{}\t{}\t{}\n", address, frame.function->name,
                               frame.function->file, frame.line, frame.inlined ? "inlined" : "");
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv, argv + argc);
  if (argc < 2) return 2;
  const std::string path(arguments[1]);
  auto file = ElfFile::Open(UniqueFd(::open(path.c_str(), O_RDONLY)));
  if (!file) {
    std::cerr << file.error().Message() << "\n";
    return 1;
  }
  Module module;
  module.path = path;
  const bool print = argc > 2 && arguments[2] == "--print";
  if (argc > 2 && arguments[2] == "--addresses") return Print(module, path, AddressesOnStdin());
  const std::size_t count =
      argc > (print ? 3 : 2) ? std::strtoull(argv[print ? 3 : 2], nullptr, 10) : 1000;
  const std::vector<std::uint64_t> addresses = RandomAddresses(*file, count);
  if (print) return Print(module, path, addresses);

  Symbolizer symbolizer(Demangle::kFull);
  symbolizer.AddModule(&module, SourceOf(path));
  const Profile window = WindowOf(module, addresses);
  const Profile first = WindowOf(module, {addresses.front()});
  const long before = PeakMegabytes();
  const std::string one = Milliseconds([&] { (void)symbolizer.Name(first); });
  const std::string cold = Milliseconds([&] { (void)symbolizer.Name(window); });
  const std::string warm = Milliseconds([&] { (void)symbolizer.Name(window); });
  std::uint64_t unnamed = 0;
  for (const UnnamedCode& code : symbolizer.unnamed()) unnamed += code.addresses;
  fmt::print("{}\n  first address {}, {} addresses cold {}, warm {}, peak +{} MiB, unnamed {}\n",
             path, one, count, cold, warm, PeakMegabytes() - before, unnamed);
  return 0;
}
