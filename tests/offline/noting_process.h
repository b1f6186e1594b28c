// SPDX-License-Identifier: Apache-2.0
// A live process, and what is looked at of it: for the programs that record.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "agent/process/live_process.h"
#include "tests/offline/recording.h"

namespace agent::offline {

/// What is kept together: with whole pages a recording has three times the size.
constexpr std::uint64_t kGrain = 256;

/// Remembers what was read.
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
    for (const auto& [address, _] : noted_) {
      if (!live_.Read(RemoteAddress(address), bytes)) continue;
      std::ranges::copy(bytes, pages[address / kPage * kPage].begin() +
                                   static_cast<std::ptrdiff_t>(address % kPage));
    }
    return pages;
  }
  /// Grains that were read in one with at least `size` bytes, and no other way.
  [[nodiscard]] std::vector<std::uint64_t> ReadInBulk(std::size_t size) const {
    std::vector<std::uint64_t> grains;
    for (const auto& [address, smallest] : noted_) {
      if (smallest >= size) grains.push_back(address);
    }
    return grains;
  }

 private:
  void Note(RemoteAddress address, std::size_t size) {
    if (size == 0) return;
    const std::uint64_t last = address.Plus(size - 1).value() / kGrain;
    for (std::uint64_t grain = address.value() / kGrain; grain <= last; ++grain) {
      const auto noted = noted_.try_emplace(grain * kGrain, size).first;
      noted->second = std::min(noted->second, size);
    }
  }

  ProcessMemory& live_;
  std::map<std::uint64_t, std::size_t> noted_;  // grains; the smallest read that had it
};

/// Hands on each file that is opened as well.
class NotingProcess final : public TargetProcess {
 public:
  using NoteFile = std::function<void(const Mapping& mapping, UniqueFd fd)>;

  NotingProcess(Pid pid, NoteFile note_file)
      : live_(pid), memory_(live_.memory()), note_file_(std::move(note_file)) {}

  [[nodiscard]] Pid pid() const override { return live_.pid(); }
  [[nodiscard]] NotingMemory& memory() override { return memory_; }
  Result<std::vector<Mapping>> ReadMappings() override { return live_.ReadMappings(); }
  Result<UniqueFd> OpenMappedFile(const Mapping& mapping) override {
    if (Result<UniqueFd> fd = live_.OpenMappedFile(mapping)) note_file_(mapping, *std::move(fd));
    return live_.OpenMappedFile(mapping);
  }
  [[nodiscard]] bool IsStillMapped(const Mapping& mapping) override {
    return live_.IsStillMapped(mapping);
  }
  Result<UniqueFd> OpenRoot() override { return live_.OpenRoot(); }

 private:
  LiveProcess live_;
  NotingMemory memory_;
  NoteFile note_file_;
};

}  // namespace agent::offline
