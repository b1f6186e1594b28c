// SPDX-License-Identifier: Apache-2.0
// The Python spy over processes that stood still once (python/, tests/support/record_python.py).
#include <algorithm>
#include <filesystem>
#include <random>

#include "spies/python/python_spy.h"
#include "tests/offline/read_threads.h"
#include "tests/offline/recorded_process.h"
#include "tests/support/catch.h"

using namespace agent;
using namespace agent::offline;

namespace {

constexpr std::size_t kMostFrames = 4096;

std::vector<std::filesystem::path> Files() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(AGENT_OFFLINE_PYTHON)) {
    files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

TEST_CASE("Python stacks of every version, from recordings") {
  REQUIRE(Files().size() >= 9);
  for (const auto& path : Files()) {
    INFO(path.filename().string());
    const Result<Recording> recording = ReadRecordingFile(path);
    REQUIRE(recording);
    RecordedProcess process(*recording);
    FunctionTable functions;
    python::PythonSpyFactory factory(functions);
    auto spy = factory.Attach(process);
    REQUIRE(spy);
    CHECK((*spy)->Runtime() == recording->runtime);
    REQUIRE(recording->threads.size() == 2);
    // The second time by what the first one has learned.
    for (int time = 0; time < 2; ++time) {
      for (const Recording::Thread& thread : recording->threads) {
        CHECK(ReadThread(**spy, thread) == thread.frames);
      }
    }
  }
}

TEST_CASE("Python stacks of damaged recordings end, one way or another") {
  std::minstd_rand random(20251129);  // NOLINT: always the same
  for (const auto& path : Files()) {
    INFO(path.filename().string());
    const Result<Recording> whole = ReadRecordingFile(path);
    REQUIRE(whole);
    for (int round = 0; round < 100; ++round) {
      Recording damaged = *whole;
      std::vector<std::uint64_t> addresses;
      for (const auto& [address, page] : damaged.pages) addresses.push_back(address);
      for (int change = 0; change < 20; ++change) {
        auto& page = damaged.pages[addresses[random() % addresses.size()]];
        page[random() % kPage] = static_cast<std::byte>(random());
      }
      damaged.pages.erase(addresses[random() % addresses.size()]);
      RecordedProcess process(damaged);
      FunctionTable functions;
      python::PythonSpyFactory factory(functions);
      auto spy = factory.Attach(process);
      if (!spy) continue;
      for (const Recording::Thread& thread : damaged.threads) {
        CHECK(ReadThread(**spy, thread).size() <= kMostFrames);
      }
    }
  }
}
