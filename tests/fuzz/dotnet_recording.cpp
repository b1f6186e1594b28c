// SPDX-License-Identifier: Apache-2.0
// The .NET spy over a recorded process (tests/offline) of which some words are the input's: the
// first byte says which recording, the second one which thread is read, then twelve bytes for each
// change: which page (two; past the pages it is the thread's stack, or its registers), place in it
// (two), eight bytes.
#include <cstring>
#include <iterator>

#include "tests/fuzz/target.h"
#include "tests/offline/dotnet_replay.h"
#include "tests/offline/recorded_process.h"

using namespace agent;
using namespace agent::offline;

namespace {

constexpr std::size_t kChange = 12;

template <typename T>
T NumberAt(std::span<const std::byte, kChange> change, std::size_t place) {
  T value{};
  std::memcpy(&value, change.data() + place, sizeof(value));
  return value;
}

void Put(std::uint64_t value, std::size_t place, std::span<std::byte> bytes) {
  if (bytes.size() < sizeof(value)) return;
  std::memcpy(bytes.data() + place % (bytes.size() - 7), &value, sizeof(value));
}

void Change(std::span<const std::byte, kChange> change, Pages& pages, ThreadSnapshot& snapshot) {
  const auto number = NumberAt<std::uint16_t>(change, 0) % (pages.size() + 2);
  const auto place = NumberAt<std::uint16_t>(change, 2);
  const auto value = NumberAt<std::uint64_t>(change, 4);
  if (number < pages.size()) {
    Put(value, place, std::next(pages.begin(), static_cast<std::ptrdiff_t>(number))->second);
  } else if (number == pages.size()) {
    Put(value, place, snapshot.stacks[0].bytes);
  } else {
    auto& values = snapshot.registers.values;
    values[place % values.size()] = value;
  }
}

}  // namespace

AGENT_FUZZ_TARGET(dotnet_recording) {
  static const auto recordings = ReadRecordings(AGENT_OFFLINE_DOTNET);
  static TablesOfFiles tables;
  if (input.size() < 2 || recordings.empty()) return;
  Recording recording = std::next(recordings.begin(), std::to_integer<std::ptrdiff_t>(input[0]) %
                                                          std::ssize(recordings))
                            ->second;
  Recording::Thread& thread =
      recording.threads[std::to_integer<std::size_t>(input[1]) % recording.threads.size()];
  for (std::size_t at = 2; at + kChange <= input.size(); at += kChange) {
    Change(input.subspan(at).first<kChange>(), recording.pages, thread.snapshot);
  }
  RecordedProcess process(recording);
  const DotnetReplay replay(process, tables);
  if (replay.spy() == nullptr) return;
  for (int time = 0; time < 2; ++time) (void)ReadThread(*replay.spy(), thread);
}
