// SPDX-License-Identifier: Apache-2.0
// The .NET spy over a recorded process (tests/offline) of which some words are the input's: the
// first byte says which recording, the second one which thread is read, then twelve bytes for each
// change: which page (two; past the pages it is the thread's stack, or its registers), place in it
// (two), eight bytes. Pages that record_dotnet has filled are not among them.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/fuzz/target.h"
#include "tests/offline/dotnet_replay.h"
#include "tests/offline/recorded_process.h"

using namespace agent;
using namespace agent::offline;

namespace {

constexpr std::size_t kChange = 12;

bool IsFilled(const std::array<std::byte, kPage>& page) {
  return std::equal(page.begin() + 12, page.end(), page.begin());
}

struct Target {
  explicit Target(Recording of) : recording(std::move(of)) {
    for (const auto& [address, page] : recording.pages) {
      if (!IsFilled(page)) places.push_back(address);
    }
  }
  Recording recording;
  std::vector<std::uint64_t> places;  // of pages that are of interest
};

std::vector<Target> Targets() {
  std::vector<Target> targets;
  for (const auto& [name, recording] : ReadRecordings(AGENT_OFFLINE_DOTNET)) {
    targets.emplace_back(recording);
  }
  return targets;
}

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

void Change(std::span<const std::byte, kChange> change, const std::vector<std::uint64_t>& places,
            Pages& pages, ThreadSnapshot& snapshot) {
  const auto number = NumberAt<std::uint16_t>(change, 0) % (places.size() + 2);
  const auto place = NumberAt<std::uint16_t>(change, 2);
  const auto value = NumberAt<std::uint64_t>(change, 4);
  if (number < places.size()) {
    Put(value, place, pages.at(places[number]));
  } else if (number == places.size()) {
    Put(value, place, snapshot.stacks[0].bytes);
  } else {
    auto& values = snapshot.registers.values;
    values[place % values.size()] = value;
  }
}

}  // namespace

AGENT_FUZZ_TARGET(dotnet_recording) {
  static const std::vector<Target> targets = Targets();
  static TablesOfFiles tables;
  if (input.size() < 2 || targets.empty()) return;
  const Target& target = targets[std::to_integer<std::size_t>(input[0]) % targets.size()];
  Recording recording = target.recording;
  Recording::Thread& thread =
      recording.threads[std::to_integer<std::size_t>(input[1]) % recording.threads.size()];
  for (std::size_t at = 2; at + kChange <= input.size(); at += kChange) {
    Change(input.subspan(at).first<kChange>(), target.places, recording.pages, thread.snapshot);
  }
  RecordedProcess process(recording);
  const DotnetReplay replay(process, tables);
  if (replay.spy() == nullptr) return;
  for (int time = 0; time < 2; ++time) (void)ReadThread(*replay.spy(), thread);
}
