// SPDX-License-Identifier: Apache-2.0
// Encoders, read back with protozero's reader.
#include <zlib.h>

#include <map>
#include <protozero/pbf_reader.hpp>

#include "agent/format/folded_encoder.h"
#include "agent/format/gzip.h"
#include "agent/format/pprof_encoder.h"
#include "agent/format/profile_file.h"
#include "agent/report/summary.h"
#include "tests/support/catch.h"

using namespace agent;

namespace {

const WallTime kStart{Nanoseconds(1'700'000'000'123'456'789)};

struct Fixture {
  FunctionTable functions;
  Profile profile{kStart, std::chrono::milliseconds(100)};
  Frame main{.function = functions.Intern("main", "/a.py", 1), .line = 3};
  Frame work{.function = functions.Intern("Шop;run", "/ü.py", 10), .line = 12};

  Fixture() {
    profile.set_period(std::chrono::milliseconds(10));
    profile.set_duration(std::chrono::seconds(2));
    const std::vector<Frame> stack = {work, main};
    for (const int tid : {2, 3}) {
      const ThreadIndex thread = profile.InternThread(
          {.pid = Pid{1}, .tid = Tid{tid}, .process_name = "app", .thread_name = "t"});
      profile.Add(profile.InternStack(stack), thread, SampleKind::kCpu, kStart,
                  {.count = 2, .cpu_ns = 20'000'000});
    }
    const Frame marker{.function = functions.Marker("[not sampled]"), .line = 0};
    profile.Add(profile.InternStack({&marker, 1}), ThreadIndex{0}, SampleKind::kCpu, kStart,
                {.count = 0, .cpu_ns = 16'000'000});
  }
};

struct Decoded {
  std::vector<std::string> strings;
  std::vector<std::vector<std::int64_t>> values;
  std::vector<std::vector<std::uint64_t>> locations;
  std::vector<std::size_t> labels;  // how many, by sample
  std::int64_t time = 0;
  std::int64_t duration = 0;
  std::int64_t period = 0;
};

Decoded Decode(const std::string& data) {
  Decoded decoded;
  protozero::pbf_reader reader(data);
  while (reader.next()) {
    switch (reader.tag()) {
      case 2: {
        protozero::pbf_reader sample = reader.get_message();
        decoded.labels.push_back(0);
        while (sample.next()) {
          if (sample.tag() == 1) {
            const auto ids = sample.get_packed_uint64();
            decoded.locations.emplace_back(ids.begin(), ids.end());
          } else if (sample.tag() == 2) {
            const auto values = sample.get_packed_int64();
            decoded.values.emplace_back(values.begin(), values.end());
          } else {
            ++decoded.labels.back();
            sample.skip();
          }
        }
        break;
      }
      case 6:
        decoded.strings.push_back(reader.get_string());
        break;
      case 9:
        decoded.time = reader.get_int64();
        break;
      case 10:
        decoded.duration = reader.get_int64();
        break;
      case 12:
        decoded.period = reader.get_int64();
        break;
      default:
        reader.skip();
    }
  }
  return decoded;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "an uploaded pprof sums over threads") {
  const Decoded decoded = Decode(EncodePprof(profile, {}));
  REQUIRE(decoded.strings[0].empty());
  CHECK(decoded.time == 1'700'000'000'123'456'789);
  CHECK(decoded.duration == 2'000'000'000);
  CHECK(decoded.period == 10'000'000);
  REQUIRE(decoded.values.size() == 2);
  CHECK(decoded.values[0] == std::vector<std::int64_t>{40'000'000, 4});
  CHECK(decoded.values[1] == std::vector<std::int64_t>{16'000'000, 0});
  CHECK(decoded.locations[0].size() == 2);
  CHECK(decoded.labels[0] == 0);
}

TEST_CASE_METHOD(Fixture, "a file's pprof tells threads apart") {
  const Decoded decoded = Decode(EncodePprof(profile, {.sample_labels = true}));
  CHECK(decoded.values.size() == 3);
  CHECK(decoded.labels[0] == 5);
}

TEST_CASE_METHOD(Fixture, "an uploaded pprof tells threads apart when asked to") {
  const std::string text = EncodePprof(profile, {.thread_labels = true});
  const Decoded decoded = Decode(text);
  CHECK(decoded.values.size() == 3);
  CHECK(decoded.labels[0] == 2);
  CHECK(std::ranges::count(decoded.strings, "thread_name") == 1);
  CHECK(std::ranges::count(decoded.strings, "thread_id") == 1);
}

TEST_CASE_METHOD(Fixture, "collapsed stacks are root first, without separators in names") {
  CHECK(EncodeFolded(profile) == "[not sampled] 2\nmain;Шop:run 4\n");
}

TEST_CASE_METHOD(Fixture, "a collapsed line stays below 64 KiB") {
  const Frame frame{.function = functions.Intern(std::string(1000, 'f'), "/f", 1), .line = 1};
  const std::vector<Frame> deep(500, frame);
  profile.Add(profile.InternStack(deep), ThreadIndex{0}, SampleKind::kCpu, kStart,
              {.count = 1, .cpu_ns = 1});
  const std::string text = EncodeFolded(profile);
  std::size_t longest = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    longest = std::max(longest, end - at);
    at = end + 1;
  }
  CHECK(longest > 50'000);
  CHECK(longest < 65'536);
  CHECK(text.find("[cut];") != std::string::npos);
}

TEST_CASE("gzip is what gunzip reads") {
  const std::string text(100'000, 'a');
  const std::string packed = Gzip(text);
  CHECK(packed.size() < 1000);
  std::string unpacked(text.size() + 1, '\0');
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string copy = packed;
  stream.next_in = reinterpret_cast<Bytef*>(copy.data());
  stream.avail_in = static_cast<uInt>(copy.size());
  stream.next_out = reinterpret_cast<Bytef*>(unpacked.data());
  stream.avail_out = static_cast<uInt>(unpacked.size());
  CHECK(::inflate(&stream, Z_FINISH) == Z_STREAM_END);
  CHECK(stream.total_out == text.size());
  ::inflateEnd(&stream);
}

TEST_CASE("a file's name says its format") {
  CHECK(ProfileFileFormat("a.pb.gz") == FileFormat::kPprof);
  CHECK(ProfileFileFormat("a.pprof") == FileFormat::kPprof);
  CHECK(ProfileFileFormat("a.folded") == FileFormat::kFolded);
  CHECK(ProfileFileFormat("a.collapsed") == FileFormat::kFolded);
  CHECK(ProfileFileFormat("a.txt").error().code == Errc::kInvalid);
}

TEST_CASE_METHOD(Fixture, "the summary counts recursion once, and shows no control characters") {
  const Frame evil{.function = functions.Intern("\x1b[2Jevil", "/e.py", 1), .line = 1};
  const std::vector<Frame> stack = {evil, evil, main};
  profile.Add(profile.InternStack(stack), ThreadIndex{0}, SampleKind::kCpu, kStart,
              {.count = 4, .cpu_ns = 44'000'000});
  const std::string text = FormatSummary(profile, {});
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find(" 44.00 %  44.00 %    0.04  \\x1b[2Jevil (/e.py:1)") != std::string::npos);
  CHECK(text.find("  0.00 %  84.00 %    0.00  main (/a.py:1)") != std::string::npos);
  CHECK(text.find("8 samples, 0.10 s of CPU in 2.00 s") != std::string::npos);
}
