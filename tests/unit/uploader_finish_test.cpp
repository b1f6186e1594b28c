// SPDX-License-Identifier: Apache-2.0
// The end of a run: retries, and how long Finish takes when a server does not answer.
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/upload_windows.h"
#include "uploader/uploader.h"

using namespace agent;

namespace {

// Lives in the test, beyond the transport.
struct Wire {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Reply> replies;       // by request; 200 past the end
  std::vector<std::string> bodies;  // of the requests
  bool hang = false;                // requests return only when cancelled
  bool cancelled = false;

  void AwaitRequests(std::size_t count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return bodies.size() >= count; });
  }
};

class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {}

  Reply Post(const HttpRequest& request, Nanoseconds) override {
    std::unique_lock lock(wire_->mutex);
    wire_->bodies.push_back(request.body);
    wire_->changed.notify_all();
    wire_->changed.wait(lock, [&] { return !wire_->hang || wire_->cancelled; });
    if (wire_->cancelled) return NoReply(true);
    if (wire_->bodies.size() <= wire_->replies.size()) {
      return wire_->replies[wire_->bodies.size() - 1];
    }
    Reply reply;
    reply.status = 200;
    return reply;
  }

  void Cancel() override {
    const std::lock_guard lock(wire_->mutex);
    wire_->cancelled = true;
    wire_->changed.notify_all();
  }

 private:
  std::shared_ptr<Wire> wire_;
};

struct Fixture {
  FunctionTable functions;
  std::shared_ptr<Wire> wire = std::make_shared<Wire>();

  std::unique_ptr<Uploader> Start() {
    UploadOptions options;
    options.labels = {{"service_name", "shop"}};
    return Uploader::Start(options, std::make_unique<FakeTransport>(wire));
  }

  Profile Window() {
    Profile window(SystemClock().WallNow(), std::chrono::milliseconds(100));
    const Frame main{.function = functions.Intern("main", "/a.py", 1), .line = 3};
    window.Add(window.InternStack({&main, 1}), window.InternThread({}), SampleKind::kCpu,
               window.start(), {.count = 5, .cpu_ns = 50'000'000});
    return window;
  }
};

}  // namespace

TEST_CASE("Uploader: a failed window goes again as it was, also at the end") {
  Fixture fixture;
  fixture.wire->replies = {StatusReply(503)};
  const auto uploader = fixture.Start();
  uploader->Write(fixture.Window());
  const UploadCounters counters = uploader->Finish(MonotonicTime::max())[0].counters;
  CHECK(counters.sent.windows == 1);
  CHECK(counters.retried == 1);
  REQUIRE(fixture.wire->bodies.size() == 2);
  CHECK(fixture.wire->bodies[0] == fixture.wire->bodies[1]);
}

TEST_CASE("Uploader: Finish does not wait for a try that would come after its deadline") {
  Fixture fixture;
  Reply busy = StatusReply(429);
  busy.retry_after = std::chrono::minutes(10);
  fixture.wire->replies = {busy, busy};  // the latter at the try that Finish causes, if it does
  const auto uploader = fixture.Start();
  uploader->Write(fixture.Window());
  fixture.wire->AwaitRequests(1);
  const MonotonicTime before = SystemClock().Now();
  const UploadCounters counters = uploader->Finish(before + std::chrono::minutes(5))[0].counters;
  CHECK(SystemClock().Now() - before < std::chrono::minutes(1));
  CHECK(counters.AllLost().windows == 1);
  CHECK(counters.last_error.starts_with("status 429"));
}

TEST_CASE("Uploader: what the end cut short does not hide what kept the profiles until then") {
  Fixture fixture;
  Reply distrust;
  distrust.trouble = "the server's certificate is not trusted";
  fixture.wire->replies = {distrust};
  const auto uploader = fixture.Start();
  uploader->Write(fixture.Window());
  while (uploader->Counters()[0].counters.last_error.empty()) std::this_thread::yield();
  {
    const std::lock_guard lock(fixture.wire->mutex);
    fixture.wire->hang = true;
  }
  uploader->Write(fixture.Window());
  // The end tries once more, and cancels that.
  const MonotonicTime end = SystemClock().Now() + std::chrono::milliseconds(100);
  const UploadCounters counters = uploader->Finish(end)[0].counters;
  CHECK(fixture.wire->cancelled);
  CHECK(counters.last_error == distrust.trouble);
}

TEST_CASE("Uploader: a request that hangs is cancelled at the deadline") {
  Fixture fixture;
  fixture.wire->hang = true;
  const auto uploader = fixture.Start();
  uploader->Write(fixture.Window());
  fixture.wire->AwaitRequests(1);
  uploader->Write(fixture.Window());
  const UploadCounters counters = uploader->Finish(SystemClock().Now())[0].counters;
  CHECK(fixture.wire->cancelled);
  CHECK(counters.sent.windows == 0);
  CHECK(counters.unknown.windows == 1);
  CHECK(counters.AllLost() == Tally{.windows = 1, .samples = 5});
}
