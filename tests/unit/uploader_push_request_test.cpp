// SPDX-License-Identifier: Apache-2.0
// What is sent, read back with protozero's reader by the field numbers of push.proto.
#include <array>
#include <cstddef>
#include <map>
#include <protozero/pbf_reader.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/push_request.h"
#include "uploader/window_parts.h"

using namespace agent;

namespace {

const WallTime kStart{Nanoseconds(1'700'000'000'123'456'789)};

Profile MakeWindow(FunctionTable& functions, int stacks) {
  Profile window(kStart, std::chrono::milliseconds(100));
  window.set_period(std::chrono::milliseconds(10));
  window.set_duration(std::chrono::seconds(10));
  const ThreadIndex thread = window.InternThread({});
  const Frame main{.function = functions.Intern("main", "/a.py", 1), .line = 3};
  for (int i = 0; i < stacks; ++i) {
    const std::string name = "work" + std::to_string(i);
    const std::vector<Frame> stack = {{.function = functions.Intern(name, "/a.py", 10), .line = 12},
                                      main};
    window.Add(window.InternStack(stack), thread, SampleKind::kCpu, kStart,
               {.count = 2, .cpu_ns = 20'000'000});
  }
  return window;
}

struct Pprof {
  std::size_t samples = 0;
  std::int64_t time = 0;
};

Pprof Decode(const std::string& data) {
  Pprof pprof;
  protozero::pbf_reader reader(data);
  while (reader.next()) {
    if (reader.tag() == 2) ++pprof.samples;
    if (reader.tag() == 9) {
      pprof.time = reader.get_int64();
    } else {
      reader.skip();
    }
  }
  return pprof;
}

}  // namespace

TEST_CASE("A push request is one series with its labels, the profile and its id") {
  const std::string data =
      EncodePushRequest({{"service_name", "shop"}, {"a", ""}}, std::string("pp\0rof", 6), "the-id");
  protozero::pbf_reader request(data);
  REQUIRE(request.next(1));
  protozero::pbf_reader series = request.get_message();
  std::map<std::string, std::string> labels;
  std::size_t samples = 0;
  while (series.next()) {
    const protozero::pbf_tag_type tag = series.tag();
    protozero::pbf_reader message = series.get_message();
    std::map<protozero::pbf_tag_type, std::string> fields;
    while (message.next()) {
      const protozero::pbf_tag_type field = message.tag();
      fields[field] = message.get_string();
    }
    if (tag == 1) {
      labels[fields[1]] = fields[2];
    } else {
      REQUIRE(tag == 2);
      ++samples;
      CHECK(fields[1] == std::string("pp\0rof", 6));
      CHECK(fields[2] == "the-id");
    }
  }
  CHECK(samples == 1);
  CHECK(labels == std::map<std::string, std::string>{
                      {"__name__", "process_cpu"}, {"service_name", "shop"}, {"a", ""}});
  CHECK_FALSE(request.next());
}

TEST_CASE("Identifiers are UUIDs of version 4") {
  CHECK(FormatUuid({}) == "00000000-0000-4000-8000-000000000000");
  std::array<std::byte, 16> ones{};
  ones.fill(std::byte{0xff});
  CHECK(FormatUuid(ones) == "ffffffff-ffff-4fff-bfff-ffffffffffff");
  CHECK(NewUuid() != NewUuid());
}

TEST_CASE("A window within the limits is one profile, with its own start") {
  FunctionTable functions;
  const auto parts = EncodeWindow(MakeWindow(functions, 10), {.samples = 10, .bytes = 100'000});
  REQUIRE(parts.size() == 1);
  CHECK(parts[0].samples == 20);
  CHECK(Decode(parts[0].pprof).samples == 10);
  CHECK(Decode(parts[0].pprof).time == kStart.time_since_epoch().count());
}

TEST_CASE("A window above the limits is several, none of which starts when another does") {
  FunctionTable functions;
  for (const WindowLimits& limits :
       {WindowLimits{.samples = 3, .bytes = 100'000}, WindowLimits{.samples = 100, .bytes = 400}}) {
    const auto parts = EncodeWindow(MakeWindow(functions, 20), limits);
    CHECK(parts.size() > 1);
    std::size_t stacks = 0;
    std::int64_t samples = 0;
    std::set<std::int64_t> times;
    for (const WindowPart& part : parts) {
      const Pprof pprof = Decode(part.pprof);
      CHECK(pprof.samples <= limits.samples);
      CHECK(part.pprof.size() <= limits.bytes);
      CHECK(pprof.samples > 0);
      stacks += pprof.samples;
      samples += part.samples;
      times.insert(pprof.time);
    }
    CHECK(stacks == 20);
    CHECK(samples == 40);
    CHECK(times.size() == parts.size());
    CHECK(*times.begin() == kStart.time_since_epoch().count());
    CHECK(*times.rbegin() - *times.begin() == static_cast<std::int64_t>(parts.size()) - 1);
  }
}

TEST_CASE("A stack that alone is above the limit in bytes is sent all the same") {
  FunctionTable functions;
  CHECK(EncodeWindow(MakeWindow(functions, 3), {.samples = 100, .bytes = 1}).size() == 3);
}

TEST_CASE("Threads are told apart when they are sent") {
  FunctionTable functions;
  Profile window = MakeWindow(functions, 3);
  const Frame frame{.function = functions.Intern("f", "/f", 1), .line = 1};
  for (const int tid : {5, 6}) {
    const ThreadIndex thread = window.InternThread(
        {.pid = Pid{5}, .tid = Tid{tid}, .process_name = "p", .thread_name = "t"});
    window.Add(window.InternStack({&frame, 1}), thread, SampleKind::kCpu, kStart,
               {.count = 1, .cpu_ns = 1});
  }
  CHECK(Decode(EncodeWindow(window)[0].pprof).samples == 4);
  CHECK(Decode(EncodeWindow(window, {}, {.threads = true})[0].pprof).samples == 5);
}

TEST_CASE("An empty window is not sent") {
  CHECK(EncodeWindow(Profile(kStart, Nanoseconds(0))).empty());
}
