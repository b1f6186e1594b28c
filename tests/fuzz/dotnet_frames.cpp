// SPDX-License-Identifier: Apache-2.0
// A runtime whose whole memory is the input, over and over: code ranges, nibble map, method
// structures and unwind information, whatever they come upon.
#include <array>

#include "spies/dotnet/managed_frames.h"
#include "spies/dotnet/unwind_info.h"
#include "tests/fuzz/target.h"

using namespace agent;

namespace {

class RepeatedMemory final : public ProcessMemory {
 public:
  explicit RepeatedMemory(fuzz::Input bytes) : bytes_(bytes) {}
  Result<void> ReadRanges(std::span<const ReadRange> ranges) override {
    for (const ReadRange& range : ranges) Copy(range.address.value(), range.destination);
    return {};
  }
  Result<std::size_t> ReadSome(RemoteAddress address, std::span<std::byte> destination) override {
    Copy(address.value(), destination);
    return destination.size();
  }

 private:
  void Copy(std::uint64_t address, std::span<std::byte> destination) const {
    for (std::size_t i = 0; i < destination.size(); ++i) {
      destination[i] = bytes_[(address + i) % bytes_.size()];
    }
  }
  fuzz::Input bytes_;
};

class RepeatedProcess final : public TargetProcess {
 public:
  explicit RepeatedProcess(fuzz::Input bytes) : memory_(bytes) {}
  [[nodiscard]] Pid pid() const override { return Pid{1}; }
  [[nodiscard]] ProcessMemory& memory() override { return memory_; }
  Result<std::vector<Mapping>> ReadMappings() override {
    Mapping all{.start = RemoteAddress(0), .end = RemoteAddress(1u << 20), .path = {}};
    all.readable = true;
    all.inode = 1;  // as metadata's mapping has
    return std::vector<Mapping>{all};
  }
  Result<UniqueFd> OpenMappedFile(const Mapping&) override {
    return Fail(Errc::kUnreadable, "no file");
  }
  [[nodiscard]] bool IsStillMapped(const Mapping&) override { return true; }
  Result<UniqueFd> OpenRoot() override { return Fail(Errc::kUnreadable, "no root"); }

 private:
  RepeatedMemory memory_;
};

// Also of the architecture that this one is not.
template <typename Info>
void TryUnwindInfo(fuzz::Input input) {
  const auto info = Info::Parse(input);
  if (!info) return;
  ThreadSnapshot snapshot;
  snapshot.stacks[0] = {.start = 0, .bytes = {input.begin(), input.end()}};
  constexpr std::uint32_t kOffsets = 64;
  for (std::uint32_t offset = 0; offset < kOffsets; ++offset) {
    std::array<std::uint64_t, Info::kRegisters> registers{};
    std::uint32_t known = ~0u;
    (void)info->Undo(snapshot, offset * 4, registers, known);
  }
}

}  // namespace

AGENT_FUZZ_TARGET(dotnet_frames) {
  if (input.empty()) return;
  RepeatedProcess process(input);
  for (const unsigned major : {6u, 7u, 8u, 10u}) {
    FunctionTable functions;
    dotnet::ManagedFrames frames(process, *dotnet::LayoutOf(major), RemoteAddress(64), functions,
                                 major == 8);
    (void)frames.CheckLayout();
    ThreadSnapshot snapshot;
    snapshot.stacks[0] = {.start = 0, .bytes = {input.begin(), input.end()}};
    Registers registers;
    for (std::size_t i = 0; i < registers.values.size(); ++i) {
      registers.values[i] = i * 8;
    }
    Stack stack;
    std::uint32_t known = ~0u;
    for (int step = 0; step < 16; ++step) {
      if (frames.Step(snapshot, step == 0, registers, known, stack) !=
          unwind::ManagedStep::kCaller) {
        break;
      }
    }
  }
  TryUnwindInfo<dotnet::X64UnwindInfo>(input);
  TryUnwindInfo<dotnet::Arm64UnwindInfo>(input);
}
