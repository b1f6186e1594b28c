// SPDX-License-Identifier: Apache-2.0
// Windows on disk, and what a crash may leave of them.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/log.h"
#include "tests/support/catch.h"
#include "tests/support/upload_windows.h"
#include "uploader/delivery.h"
#include "uploader/spool.h"

using namespace agent;
namespace fs = std::filesystem;

namespace {

const WallTime kStart{std::chrono::seconds(1'700'000'000)};
constexpr const char* kServer = "http://server:4040";

struct Folder {
  std::string path;
  Folder() {
    std::string name = "/tmp/agent-spool-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::unique_ptr<Spool> Open(const std::string& server = kServer) const {
    auto spool = Spool::Open(path, server);
    REQUIRE(spool);
    return *std::move(spool);
  }
  std::vector<fs::path> Files(const std::string& ending) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.path().string().ends_with(ending)) files.push_back(entry.path());
    }
    return files;
  }
};

UploadWindow Window(int number) {
  return MakeUploadWindow(kStart + number * std::chrono::seconds(10));
}

Delivery WithSpool(std::unique_ptr<Spool> spool, std::size_t bytes = 1u << 20) {
  return {kServer,
          {.memory = bytes, .disk = bytes},
          Backoff([] { return 1.0; }),
          {UploadFormat::kPush},
          std::move(spool)};
}

}  // namespace

TEST_CASE("Spool: what one run left is the next one's, oldest first, and once") {
  const Folder folder;
  {
    const auto spool = folder.Open();
    REQUIRE(spool->Put(Window(2)));
    REQUIRE(spool->Put(Window(1)));
  }
  const auto spool = folder.Open();
  const std::vector<Spool::Found> found = spool->TakeFound();
  REQUIRE(found.size() == 2);
  CHECK(found[0].window.start == Window(1).start);
  CHECK(found[0].window.samples == 10);
  CHECK(*found[0].window.labels == *Window(1).labels);
  const auto whole = spool->Get(found[0].id);
  REQUIRE(whole);
  CHECK(*whole->pprof == *Window(1).pprof);
  CHECK(spool->TakeFound().empty());
  // Another run beside it: these are held.
  CHECK(folder.Open()->TakeFound().empty());
  CHECK(folder.Open("http://other:4040")->TakeFound().empty());
  spool->Remove(found[0].id);
  spool->Remove(found[1].id);
  CHECK(folder.Files(".window").empty());
}

TEST_CASE("Spool: folders of runs that are over are removed when they are empty") {
  const Folder folder;
  for (int i = 0; i < 3; ++i) {
    const auto spool = folder.Open();
    for (const Spool::Found& found : spool->TakeFound()) spool->Remove(found.id);
    if (i == 0) REQUIRE(spool->Put(Window(1)));
  }
  CHECK(folder.Files("lock").empty());
}

TEST_CASE("Spool: broken files are set aside, half-written ones removed") {
  const Folder folder;
  {
    const auto spool = folder.Open();
    for (int i = 0; i < 4; ++i) REQUIRE(spool->Put(Window(i)));
  }
  const std::vector<fs::path> files = folder.Files(".window");
  REQUIRE(files.size() == 4);
  fs::resize_file(files[0], fs::file_size(files[0]) - 1);
  std::fstream(files[1], std::ios::in | std::ios::out | std::ios::binary).seekp(60).put('\x55');
  std::ofstream(files[2], std::ios::trunc) << "";
  std::ofstream(files[0].string() + ".part") << "half";
  SetLogLevel(LogLevel::kNone);
  const auto spool = folder.Open();
  SetLogLevel(LogLevel::kWarn);
  CHECK(spool->TakeFound().size() == 1);
  CHECK(folder.Files(".corrupt").size() == 3);
  CHECK(folder.Files(".part").empty());
}

TEST_CASE("Spool: a folder that cannot be made is an error that names it") {
  const auto spool = Spool::Open("/proc/no/such", kServer);
  REQUIRE_FALSE(spool);
  CHECK(spool.error().Message().find("/proc/no/such") != std::string::npos);
}

TEST_CASE("Delivery with a spool: a window's file is there until the server has it") {
  const Folder folder;
  Delivery delivery = WithSpool(folder.Open());
  delivery.Push(Window(0));
  delivery.Push(Window(1));
  CHECK(folder.Files(".window").size() == 2);
  const std::optional<Attempt> attempt = delivery.Take(kStart);
  REQUIRE(attempt);
  REQUIRE(MakeUploadRequest(attempt->window, attempt->format));
  delivery.Made(std::make_shared<const HttpRequest>());
  (void)delivery.Answer(NoReply(true), MonotonicTime{});
  CHECK(folder.Files(".window").size() == 2);
  (void)delivery.Take(kStart);
  (void)delivery.Answer(StatusReply(200), MonotonicTime{});
  CHECK(folder.Files(".window").size() == 1);
  delivery.Close();
  CHECK(delivery.Counters().kept == Tally{.windows = 1, .samples = 10});
  CHECK(delivery.Counters().AllLost() == Tally{});
  CHECK(folder.Files(".window").size() == 1);
}

TEST_CASE("Delivery with a spool: it is bounded, and full it is merged") {
  const Folder folder;
  const std::size_t one = Window(0).pprof->size();
  {
    Delivery delivery = WithSpool(folder.Open(), 3 * one);
    for (int i = 0; i < 30; ++i) delivery.Push(Window(i));
    CHECK(delivery.Counters().AllLost() == Tally{});
    CHECK(delivery.Counters().queued_bytes <= 3 * one);
    delivery.Close();
    CHECK(delivery.Counters().kept.samples == 300);
  }
  std::int64_t samples = 0;
  for (const Spool::Found& found : folder.Open()->TakeFound()) samples += found.window.samples;
  CHECK(samples == 300);
}

TEST_CASE("Delivery with a spool: what a full disk does not take stays within the memory's bound") {
  const Folder folder;
  const std::size_t one = Window(0).pprof->size();
  Delivery delivery(kServer, {.memory = 3 * one, .disk = 300 * one}, Backoff([] { return 1.0; }),
                    {UploadFormat::kPush}, folder.Open());
  delivery.Push(Window(0));
  fs::remove_all(folder.path);
  SetLogLevel(LogLevel::kNone);
  for (int i = 1; i < 30; ++i) delivery.Push(Window(i));
  SetLogLevel(LogLevel::kWarn);
  CHECK(delivery.Counters().queued_bytes <= 4 * one);
  CHECK(delivery.Counters().AllLost() == Tally{});
}
