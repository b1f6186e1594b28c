// SPDX-License-Identifier: Apache-2.0
// One window in each of the forms that receivers take.
#include <protozero/pbf_reader.hpp>
#include <string>
#include <vector>

#include "agent/format/gzip.h"
#include "agent/format/loaded_profile.h"
#include "agent/format/pprof_encoder.h"
#include "tests/support/catch.h"
#include "tests/support/upload_windows.h"
#include "uploader/upload_format.h"

using namespace agent;

namespace {

const WallTime kStart{Nanoseconds(1'700'000'000'123'456'789)};
constexpr std::size_t kMuch = 1u << 24;

HttpRequest RequestOf(UploadFormat format, const Labels& labels) {
  return *MakeUploadRequest(MakeUploadWindow(kStart, 2, 10, 0, labels), format);
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The values of one field of a protobuf message.
std::vector<std::string> Fields(const std::string& message, protozero::pbf_tag_type tag) {
  std::vector<std::string> values;
  protozero::pbf_reader reader(message);
  while (reader.next()) {
    if (reader.tag() == tag && reader.wire_type() == protozero::pbf_wire_type::length_delimited) {
      values.push_back(reader.get_string());
    } else {
      reader.skip();
    }
  }
  return values;
}

}  // namespace

TEST_CASE("Upload formats: push.v1 is gzipped protobuf with the pprof as it is") {
  const HttpRequest request = RequestOf(UploadFormat::kPush, {{"service_name", "shop"}});
  CHECK(request.path == "/push.v1.PusherService/Push");
  CHECK(request.content_type == "application/proto");
  CHECK(request.content_encoding == "gzip");
  const std::string series = Fields(*Gunzip(request.body, kMuch), 1).at(0);
  CHECK(Fields(series, 1).size() == 2);  // __name__, service_name
  const auto profile = DecodePprof(Fields(Fields(series, 2).at(0), 1).at(0));
  REQUIRE(profile);
  CHECK((*profile)->profile.start() == kStart);
  CHECK((*profile)->profile.Total().cpu_ns == 200'000'000);
}

TEST_CASE("Upload formats: /ingest takes pprof as a file of a form, in nanoseconds of time") {
  const HttpRequest request =
      RequestOf(UploadFormat::kPprof, {{"a", "x,y}z"}, {"service_name", "my shop"}});
  // What the parser of names cannot take is made plain.
  CHECK(
      request.path.starts_with("/ingest?name=my_shop%7Ba%3Dx_y_z%7D"
                               "&from=1700000000123456789&until=1700000010123456789&"));
  CHECK(request.content_type.starts_with("multipart/form-data; boundary=agent-"));
  CHECK(request.content_encoding.empty());
  CHECK(Contains(request.body, "name=\"profile\"; filename=\"profile.pprof\"\r\n"));
  CHECK(request.body.ends_with(request.content_type.substr(30) + "--\r\n"));
}

TEST_CASE("Upload formats: /ingest takes collapsed stacks of CPU time under a name with .cpu") {
  const HttpRequest request =
      RequestOf(UploadFormat::kFolded, {{"pod", "p"}, {"service_name", "email.service"}});
  CHECK(request.path.starts_with("/ingest?name=email.service.cpu%7Bpod%3Dp%7D&"));
  CHECK(Contains(request.path, "&format=folded&sampleRate=1000000&"));
  CHECK(request.content_type == "text/plain");
  CHECK(request.content_encoding.empty());
  CHECK(request.body == "main;work_0 100000\nmain;work_1 100000\n");
}

TEST_CASE("Upload formats: OTLP has a profile for each sample type over one dictionary") {
  const HttpRequest request = RequestOf(UploadFormat::kOtlp, {{"service_name", "shop"}});
  CHECK(request.path == "/v1development/profiles");
  CHECK(request.content_type == "application/x-protobuf");
  const std::string body = *Gunzip(request.body, kMuch);
  const std::string resource = Fields(body, 1).at(0);
  CHECK(Contains(Fields(resource, 1).at(0), "service.name"));
  const std::vector<std::string> profiles = Fields(Fields(resource, 2).at(0), 2);
  REQUIRE(profiles.size() == 2);
  for (const std::string& profile : profiles) CHECK(Fields(profile, 2).size() == 2);
  const std::string dictionary = Fields(body, 2).at(0);
  CHECK(Fields(dictionary, 5).at(0).empty());
  // Entry 0 of each stands for nothing.
  CHECK(Fields(dictionary, 2).size() == 4);  // main, work_0, work_1
  CHECK(Fields(dictionary, 3).size() == 4);
  CHECK(Fields(dictionary, 7).size() == 3);
}

TEST_CASE("Upload formats: names") {
  for (const char* name : {"push", "pprof", "folded", "otlp"}) {
    CHECK(NameOf(ParseUploadFormat(name).at(0)) == name);
  }
  CHECK(ParseUploadFormat("auto").size() == 3);
  CHECK(ParseUploadFormat("grpc").empty());
}

TEST_CASE("Upload formats: a window that cannot be read makes no request") {
  UploadWindow window = MakeUploadWindow(kStart);
  window.pprof = std::make_shared<const std::string>("not gzip");
  CHECK_FALSE(MakeUploadRequest(window, UploadFormat::kPush));
  window.pprof = std::make_shared<const std::string>(Gzip("\x0a\x7f"));
  CHECK_FALSE(MakeUploadRequest(window, UploadFormat::kFolded));
}

TEST_CASE("pprof decoder: what the encoder wrote comes back") {
  FunctionTable functions;
  const Module module{.path = "/lib/libx.so", .build_id = "abc", .start = 1, .end = 9};
  Profile window(kStart, std::chrono::milliseconds(100));
  window.set_period(std::chrono::milliseconds(10));
  window.set_duration(std::chrono::seconds(10));
  window.losses() = {.torn = 1, .late_ticks = 5, .folded = 8};
  const std::vector<Frame> stack = {
      {.function = functions.Intern("inner", "/a.c", 1), .line = 2, .inlined = true},
      {.function = functions.Intern("libx.so+0x5", "", 0), .module = &module, .address = 5},
      {.function = functions.Intern("main", "/a.c", 7), .line = 8}};
  const ThreadIndex thread =
      window.InternThread({.pid = Pid{}, .tid = Tid{42}, .process_name = "", .thread_name = "w"});
  window.Add(window.InternStack(stack), thread, SampleKind::kCpu, kStart,
             {.count = 3, .cpu_ns = 30, .wall_ns = 40});
  const std::string text = EncodePprof(window, {.thread_labels = true});
  const auto read = DecodePprof(text);
  REQUIRE(read);
  CHECK(EncodePprof((*read)->profile, {.thread_labels = true}) == text);
  CHECK((*read)->profile.losses().late_ticks == 5);
  CHECK((*read)->profile.losses().folded == 8);
}

TEST_CASE("pprof decoder: nothing is read from what is no profile") {
  CHECK_FALSE(DecodePprof(""));
  CHECK_FALSE(DecodePprof("\x0a\x7f"));
  const std::string whole = *UnpackWindow(MakeUploadWindow(kStart, 3));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // Cut anywhere: an error or a smaller profile, never a crash.
    (void)DecodePprof(whole.substr(0, size));
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x55);
    (void)DecodePprof(changed);
  }
}
