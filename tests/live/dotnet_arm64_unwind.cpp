// SPDX-License-Identifier: Apache-2.0
// What the unwind information of precompiled arm64 images says, against what their code does.
//
// usage: dotnet_arm64_unwind IMAGE...
//
// Each function's first instructions, up to the first jump or call, and each of its epilogs are run
// in an Arm64Machine. Before each instruction the unwind information must lead to the registers
// that the function was called with. Prints one line of counts, and up to 20 places that differ.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spies/dotnet/unwind_info_aarch64.h"
#include "tests/live/arm64_machine.h"

namespace agent::live {
namespace {

using dotnet::Arm64UnwindInfo;
using Bytes = std::vector<std::byte>;

constexpr std::uint32_t kFp = 29;
constexpr std::uint32_t kLr = 30;
constexpr std::uint32_t kFirstKept = 19;
constexpr std::size_t kLongestStart = 64;
constexpr std::size_t kLongestEnd = 32;
constexpr std::uint32_t kMovSpFp = 0x910003bf;

// Zero past the end.
template <typename T>
T At(const Bytes& bytes, std::size_t offset) {
  T value{};
  if (offset <= bytes.size() && sizeof(T) <= bytes.size() - offset) {
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
  }
  return value;
}

Bytes ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// As the loader lays it out; empty: no image.
Bytes Loaded(const Bytes& file) {
  const std::size_t headers = At<std::uint32_t>(file, 0x3c);
  if (At<std::uint32_t>(file, headers) != 0x4550) return {};  // "PE"
  const std::size_t optional = headers + 24;
  Bytes image(std::min(At<std::uint32_t>(file, optional + 56), 1u << 28));
  std::size_t section = optional + At<std::uint16_t>(file, headers + 20);
  for (std::uint32_t i = 0; i < At<std::uint16_t>(file, headers + 6); ++i, section += 40) {
    const std::size_t to = At<std::uint32_t>(file, section + 12);
    const std::size_t size = At<std::uint32_t>(file, section + 16);
    const std::size_t from = At<std::uint32_t>(file, section + 20);
    if (from > file.size() || size > file.size() - from) return {};
    if (to > image.size() || size > image.size() - to) return {};
    std::memcpy(image.data() + to, file.data() + from, size);
  }
  const std::size_t head = std::min(file.size(), std::min<std::size_t>(image.size(), 4096));
  std::memcpy(image.data(), file.data(), head);
  return image;
}

// Of RUNTIME_FUNCTIONS: where, and how many bytes (inc/readytorun.h).
struct Table {
  std::size_t begin = 0;
  std::size_t size = 0;
};
Table FunctionsOf(const Bytes& image) {
  const std::size_t optional = At<std::uint32_t>(image, 0x3c) + 24;
  const std::size_t cli = At<std::uint32_t>(image, optional + 224);
  const std::size_t header = At<std::uint32_t>(image, cli + 64);
  if (cli == 0 || header == 0 || At<std::uint32_t>(image, header) != 0x00525452) return {};
  for (std::uint32_t i = 0; i < At<std::uint32_t>(image, header + 12); ++i) {
    const std::size_t section = header + 16 + std::size_t{i} * 12;
    if (At<std::uint32_t>(image, section) != 102) continue;
    return {.begin = At<std::uint32_t>(image, section + 4),
            .size = At<std::uint32_t>(image, section + 8)};
  }
  return {};
}

// mov sp, x29 or sub sp, x29, ...
bool IsFromFp(std::uint32_t instruction) {
  return instruction == kMovSpFp || (instruction & 0xff8003ff) == 0xd10003bf;
}

bool IsOfEpilog(std::uint32_t instruction) {
  const bool is_pair = (instruction & 0x3bc003e0) == 0x28c003e0 ||  // ldp from sp, which moves then
                       (instruction & 0x3bc003e0) == 0x294003e0;    // or does not
  const bool is_single =
      (instruction & 0xffc003e0) == 0xf94003e0 || (instruction & 0xffe00fe0) == 0xf84007e0 ||
      (instruction & 0xffc003e0) == 0xfd4003e0 || (instruction & 0xffe00fe0) == 0xfc4007e0;
  // add sp, sp, ...; the same with a register, and the number in it
  const bool is_add = (instruction & 0xff8003ff) == 0x910003ff ||
                      (instruction & 0xffe0ffff) == 0x8b2063ff ||
                      (instruction & 0xdf800000) == 0xd2800000;
  return is_pair || is_single || is_add || IsFromFp(instruction);
}

class Checker {
 public:
  void Check(const char* path) {
    const Bytes image = Loaded(ReadFile(path));
    const Table table = FunctionsOf(image);
    for (std::size_t at = 0; at + 8 <= table.size; at += 8) {
      const Arm64UnwindInfo::Function function = {
          .begin = At<std::uint32_t>(image, table.begin + at),
          .unwind_info = At<std::uint32_t>(image, table.begin + at + 4)};
      if (function.begin != ~0u) CheckFunction(path, image, function);
    }
  }
  // Whether all of it agreed.
  bool Report() const {
    fmt::print(
        "{} functions, {} not read, {} not run; {} places in prologs, {} in {} epilogs: {} "
        "differ\n",
        functions_, unread_, lost_, starts_, ends_, epilogs_, wrong_);
    return wrong_ == 0 && unread_ == 0;
  }

 private:
  void CheckFunction(const char* path, const Bytes& image,
                     const Arm64UnwindInfo::Function& function) {
    ++functions_;
    const auto info = Read(image, function);
    if (!info) {
      ++unread_;
      return;
    }
    path_ = path;
    begin_ = function.begin;
    end_ = function.begin + info->CodeSize(function);
    machine_.Reset(functions_);
    if (!RunStart(image, *info)) {
      ++lost_;
      return;
    }
    for (std::uint32_t number = kFirstKept; number <= kLr; ++number) {
      const bool is_frame_pointer =
          number == kFp && machine_.registers[kFp] != machine_.Original(kFp);
      if ((machine_.saved >> number & 1) != 0 && !is_frame_pointer) machine_.Spoil(number);
    }
    const auto body = machine_.registers;
    for (std::uint32_t pc = begin_; pc < end_; pc += 4) RunEnd(image, *info, body, pc);
  }

  static std::optional<Arm64UnwindInfo> Read(const Bytes& image,
                                             const Arm64UnwindInfo::Function& function) {
    const std::size_t place = function.unwind_info;
    if (place % 4 != 0 || place > image.size() || image.size() - place < 8) return std::nullopt;
    const auto rest = std::span(image).subspan(place);
    const auto size = Arm64UnwindInfo::SizeOf(rest.first(Arm64UnwindInfo::kHeadSize));
    if (!size || *size > rest.size()) return std::nullopt;
    auto info = Arm64UnwindInfo::Parse(rest.first(*size));
    if (!info || std::uint64_t{function.begin} + info->CodeSize(function) > image.size()) {
      return std::nullopt;
    }
    return *std::move(info);
  }

  // Up to the first instruction that leads elsewhere, or gives back some of the stack.
  bool RunStart(const Bytes& image, const Arm64UnwindInfo& info) {
    for (std::uint32_t pc = begin_; pc < end_ && pc < begin_ + kLongestStart * 4; pc += 4) {
      ++starts_;
      Compare(info, pc);
      const auto before = machine_.registers;
      const Arm64Step step = machine_.Do(At<std::uint32_t>(image, pc), pc);
      if (step == Arm64Step::kLost) return false;
      if (step != Arm64Step::kNext) return true;
      if (machine_.registers[Arm64Machine::kSp] > before[Arm64Machine::kSp]) {
        machine_.registers = before;
        return true;
      }
    }
    return true;
  }

  // Where the instruction leaves the function behind an epilog, or returns.
  void RunEnd(const Bytes& image, const Arm64UnwindInfo& info, const Arm64Machine::Registers& body,
              std::uint32_t last) {
    const auto instruction = At<std::uint32_t>(image, last);
    const bool is_return = instruction == 0xd65f03c0;
    const bool is_branch = (instruction & 0xfffffc1f) == 0xd61f0000;
    const bool is_jump = (instruction & 0xfc000000) == 0x14000000;
    if (!is_return && !is_branch && !is_jump) return;
    std::uint32_t first = last;
    while (first > begin_ && last - first < kLongestEnd * 4 &&
           IsOfEpilog(At<std::uint32_t>(image, first - 4))) {
      first -= 4;
      if (IsFromFp(At<std::uint32_t>(image, first))) break;
    }
    if (!is_return && first == last) return;
    if (is_jump) {
      machine_.Do(instruction, last);
      if (machine_.target >= begin_ && machine_.target < end_) return;
    }
    ++epilogs_;
    machine_.registers = body;
    // As after a localloc.
    if (IsFromFp(At<std::uint32_t>(image, first))) machine_.registers[Arm64Machine::kSp] -= 0x100;
    for (std::uint32_t pc = first; pc <= last; pc += 4) {
      ++ends_;
      Compare(info, pc);
      if (machine_.Do(At<std::uint32_t>(image, pc), pc) == Arm64Step::kLost) return;
    }
  }

  void Compare(const Arm64UnwindInfo& info, std::uint32_t pc) {
    auto registers = machine_.registers;
    std::uint32_t known = ~0u;
    const auto done = info.Undo(machine_.snapshot, pc - begin_, registers, known);
    std::string difference;
    if (!done) {
      difference = done.error().Message();
    } else if (registers[Arm64Machine::kSp] != Arm64Machine::kTop) {
      difference = fmt::format(
          "sp {:+}", static_cast<std::int64_t>(registers[Arm64Machine::kSp] - Arm64Machine::kTop));
    }
    for (std::uint32_t number = kFirstKept; number <= kLr && difference.empty(); ++number) {
      if (registers[number] != machine_.Original(number)) difference = fmt::format("x{}", number);
    }
    if (difference.empty()) return;
    if (++wrong_ <= 20) {
      fmt::print("{}: {:#x} of {:#x} to {:#x}: {}\n", path_, pc, begin_, end_, difference);
    }
  }

  const char* path_ = "";
  std::uint32_t begin_ = 0;
  std::uint32_t end_ = 0;
  Arm64Machine machine_;
  std::size_t functions_ = 0;
  std::size_t unread_ = 0;
  std::size_t lost_ = 0;
  std::size_t starts_ = 0;
  std::size_t epilogs_ = 0;
  std::size_t ends_ = 0;
  std::size_t wrong_ = 0;
};

}  // namespace
}  // namespace agent::live

int main(int argc, char** argv) {
  agent::live::Checker checker;
  for (int i = 1; i < argc; ++i) checker.Check(argv[i]);
  return checker.Report() ? 0 : 1;
}
