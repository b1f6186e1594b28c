// SPDX-License-Identifier: Apache-2.0
// The uploader's thread over a transport that is made up.
#include <zlib.h>

#include <future>
#include <mutex>
#include <protozero/pbf_reader.hpp>

#include "agent/base/log.h"
#include "tests/support/catch.h"
#include "uploader/uploader.h"

using namespace agent;

namespace {

std::string Gunzip(std::string packed) {
  std::string text(1u << 20, '\0');
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, 15 + 16) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  REQUIRE(::inflate(&stream, Z_FINISH) == Z_STREAM_END);
  text.resize(stream.total_out);
  ::inflateEnd(&stream);
  return text;
}

// The values of one field of a protobuf message.
std::vector<std::string> Fields(const std::string& message, protozero::pbf_tag_type tag) {
  std::vector<std::string> values;
  protozero::pbf_reader reader(message);
  while (reader.next()) {
    if (reader.tag() == tag) {
      values.push_back(reader.get_string());
    } else {
      reader.skip();
    }
  }
  return values;
}

// Taken just now: an old one would not be sent.
Profile MakeWindow(FunctionTable& functions, std::uint32_t stacks) {
  Profile window(SystemClock().WallNow(), std::chrono::milliseconds(100));
  window.set_period(std::chrono::milliseconds(10));
  window.set_duration(std::chrono::seconds(10));
  const Frame main{.function = functions.Intern("main", "/a.py", 1), .line = 1};
  for (std::uint32_t i = 0; i < stacks; ++i) {
    const std::string name = "f" + std::to_string(i);
    const std::vector<Frame> stack = {{.function = functions.Intern(name, "/a.py", 1), .line = i},
                                      main};
    // Two threads in two slices: to a server they are one sample.
    for (const int tid : {1, 2}) {
      window.Add(window.InternStack(stack),
                 window.InternThread(
                     {.pid = Pid{1}, .tid = Tid{tid}, .process_name = "app", .thread_name = "t"}),
                 SampleKind::kCpu, window.start() + std::chrono::milliseconds(100) * tid,
                 {.count = 1, .cpu_ns = 10});
    }
  }
  return window;
}

// Answers as it is told; lets the test wait for a request.
class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(std::function<Reply(int)> answer) : answer_(std::move(answer)) {}
  Reply Post(const HttpRequest& request, Nanoseconds) override {
    int number = 0;
    {
      const std::lock_guard lock(mutex);
      bodies.push_back(request.body);
      number = static_cast<int>(bodies.size());
    }
    return answer_(number);
  }
  void Cancel() override { cancelled.set_value(); }

  std::mutex mutex;
  std::vector<std::string> bodies;
  std::promise<void> cancelled;

 private:
  std::function<Reply(int)> answer_;
};

Reply Status(int status) {
  Reply reply;
  reply.status = status;
  return reply;
}

UploadOptions OptionsOf(Labels labels) {
  UploadOptions options;
  options.labels = std::move(labels);
  return options;
}

const MonotonicTime kNever = MonotonicTime::max();

}  // namespace

TEST_CASE("Upload thread: what is written is sent, gzipped, before Finish returns") {
  FunctionTable functions;
  auto owned = std::make_unique<FakeTransport>([](int) { return Status(200); });
  FakeTransport& transport = *owned;
  const auto uploader = Uploader::Start(OptionsOf({{"service_name", "s"}}), std::move(owned));
  uploader->Write(Profile(SystemClock().WallNow(), Nanoseconds(0)));  // nothing to tell
  const Profile now = MakeWindow(functions, 3);
  uploader->Write(now);
  uploader->Write(now);
  const UploadCounters counters = uploader->Finish(kNever)[0].counters;
  CHECK(counters.sent.windows == 2);
  CHECK(counters.sent.samples == 12);
  CHECK(counters.AllLost().windows == 0);
  CHECK(counters.last_error.empty());
  REQUIRE(transport.bodies.size() == 2);
  const std::string first = Gunzip(transport.bodies[0]);
  const std::string sample = Fields(Fields(first, 1).at(0), 2).at(0);
  CHECK(Fields(Fields(sample, 1).at(0), 2).size() == 3);
  CHECK(transport.bodies[0] != transport.bodies[1]);  // another id
  uploader->Write(now);                               // too late, and harmless
  CHECK(uploader->Finish(kNever)[0].counters.sent.windows == 2);
}

TEST_CASE("Upload thread: a request that does not return is left behind at the deadline") {
  FunctionTable functions;
  std::promise<void> began;
  std::promise<void> release;
  std::promise<void> left;
  auto owned = std::make_unique<FakeTransport>([&](int) {
    began.set_value();
    release.get_future().wait();  // as a name look-up: Cancel does not help
    left.set_value();
    return Status(200);
  });
  auto cancelled = owned->cancelled.get_future();
  auto uploader = Uploader::Start(OptionsOf({}), std::move(owned));
  const Profile now = MakeWindow(functions, 3);
  uploader->Write(now);
  began.get_future().wait();
  uploader->Write(now);
  const UploadCounters counters = uploader->Finish(SystemClock().Now())[0].counters;
  CHECK(counters.sent.windows == 0);
  CHECK(counters.unknown == Tally{.windows = 1, .samples = 6});  // the server may have it
  CHECK(counters.AllLost() == Tally{.windows = 1, .samples = 6});
  CHECK_FALSE(counters.last_error.empty());
  cancelled.wait();
  uploader.reset();
  release.set_value();  // the thread goes on with what it shares, after the uploader's end
  left.get_future().wait();
}

TEST_CASE("Upload thread: an invalid address loses windows, not the program") {
  FunctionTable functions;
  SetLogLevel(LogLevel::kNone);
  UploadOptions options = OptionsOf({});
  options.servers = {"nonsense"};
  const auto uploader = Uploader::Start(options);
  const Profile now = MakeWindow(functions, 1);
  uploader->Write(now);
  CHECK(uploader->Finish(SystemClock().Now())[0].counters.AllLost().windows == 1);
  SetLogLevel(LogLevel::kWarn);
}
