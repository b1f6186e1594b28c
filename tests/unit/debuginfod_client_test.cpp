// SPDX-License-Identifier: Apache-2.0
#include "symbolizer/debuginfod_client.h"

#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/symbol_files.h"

using namespace agent;
using agent::testing::TemporaryFolder;

namespace {

using Sink = std::function<bool(std::string_view)>;
const std::string kBuildId = "0123456789abcdef";
// Only a failing test waits that long.
constexpr std::chrono::seconds kPatience{20};

DebuginfodOptions OptionsOf(const TemporaryFolder& folder,
                            std::function<int(const std::string&, const Sink&)> get) {
  return {.servers = {{.shown = "server", .get = std::move(get)}},
          .cache_folder = folder.path() + "/cache",
          .max_bytes = 10};
}

}  // namespace

TEST_CASE("debuginfod client: neither a question nor the end waits for a server") {
  const TemporaryFolder folder;
  struct Promises {
    std::promise<std::string> begun;
    std::promise<void> released;
    std::promise<bool> ended;
  };
  const auto promises = std::make_shared<Promises>();
  auto client = std::make_unique<DebuginfodClient>(
      OptionsOf(folder, [promises](const std::string& path, const Sink& sink) {
        (void)sink("some");
        promises->begun.set_value(path);
        const auto status = promises->released.get_future().wait_for(kPatience);
        promises->ended.set_value(status == std::future_status::ready);
        return 200;
      }));
  CHECK(client->Find(kBuildId) == nullptr);
  auto begun = promises->begun.get_future();
  REQUIRE(begun.wait_for(kPatience) == std::future_status::ready);
  CHECK(begun.get() == "/buildid/" + kBuildId + "/debuginfo");
  CHECK(client->Find(kBuildId) == nullptr);  // A second set_value would throw.
  CHECK(client->TakeArrived().empty());
  client.reset();
  CHECK(std::filesystem::is_empty(folder.path() + "/cache"));
  promises->released.set_value();
  CHECK(promises->ended.get_future().get());
}

TEST_CASE("debuginfod client: a file has its bound") {
  const TemporaryFolder folder;
  const auto taken = std::make_shared<std::promise<bool>>();
  DebuginfodClient client(OptionsOf(folder, [taken](const std::string&, const Sink& sink) {
    const bool first = sink("0123456789");
    const bool second = sink("a");
    taken->set_value(first && !second);
    return 0;
  }));
  CHECK(client.Find(kBuildId) == nullptr);
  CHECK(taken->get_future().get());
}

TEST_CASE("debuginfod client: what is no build id is not asked for") {
  const TemporaryFolder folder;
  DebuginfodClient client(OptionsOf(folder, [](const std::string&, const Sink&) { return 0; }));
  CHECK(client.Find("../x") == nullptr);
  CHECK_FALSE(std::filesystem::exists(folder.path() + "/cache"));
}
