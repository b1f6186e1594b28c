// SPDX-License-Identifier: Apache-2.0
// The .NET spy over processes that stood still once (dotnet/, tests/support/record_dotnet.py).
#include <fmt/format.h>

#include <random>

#include "agent/process/registers.h"
#include "tests/offline/dotnet_replay.h"
#include "tests/offline/recorded_process.h"
#include "tests/support/catch.h"

using namespace agent;
using namespace agent::offline;

namespace {

constexpr std::size_t kMostFrames = 4096;

// Whether the recordings are of this machine's architecture.
bool AreOurs() {
  if (!kCallPushes) fmt::print("SKIP: the recordings of .NET are of x86-64\n");
  return kCallPushes;
}

}  // namespace

TEST_CASE("Stacks of .NET of every version, from recordings") {
  if (!AreOurs()) return;
  const auto recordings = ReadRecordings(AGENT_OFFLINE_DOTNET);
  REQUIRE(recordings.size() == 6);
  for (const auto& [name, recording] : recordings) {
    INFO(name);
    RecordedProcess process(recording);
    TablesOfFiles tables;
    const DotnetReplay replay(process, tables);
    INFO(replay.reason());
    REQUIRE(replay.spy() != nullptr);
    CHECK(replay.spy()->Runtime() == recording.runtime);
    REQUIRE(recording.threads.size() >= 8);
    // The second time by what the first one has learned.
    for (int time = 0; time < 2; ++time) {
      for (const Recording::Thread& thread : recording.threads) {
        CHECK(ReadThread(*replay.spy(), thread) == thread.frames);
      }
    }
  }
}

TEST_CASE("Stacks of .NET of damaged recordings end, one way or another") {
  if (!AreOurs()) return;
  std::minstd_rand random(20251130);  // NOLINT: always the same
  for (const auto& [name, whole] : ReadRecordings(AGENT_OFFLINE_DOTNET)) {
    INFO(name);
    TablesOfFiles tables;
    for (int round = 0; round < 5; ++round) {
      Recording damaged = whole;
      std::vector<std::uint64_t> addresses;
      for (const auto& [address, page] : damaged.pages) addresses.push_back(address);
      for (int change = 0; change < 200; ++change) {
        auto& page = damaged.pages[addresses[random() % addresses.size()]];
        page[random() % kPage] = static_cast<std::byte>(random());
      }
      damaged.pages.erase(addresses[random() % addresses.size()]);
      for (Recording::Thread& thread : damaged.threads) {
        auto& stack = thread.snapshot.stacks[0].bytes;
        stack[random() % stack.size()] = static_cast<std::byte>(random());
        if (random() % 4 == 0) stack.resize(random() % stack.size());
      }
      RecordedProcess process(damaged);
      const DotnetReplay replay(process, tables);
      if (replay.spy() == nullptr) continue;
      for (const Recording::Thread& thread : damaged.threads) {
        CHECK(ReadThread(*replay.spy(), thread).size() <= kMostFrames);
      }
    }
  }
}
