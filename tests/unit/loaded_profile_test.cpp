// SPDX-License-Identifier: Apache-2.0
// Files written and read again, and files of other tools.
#include "agent/format/loaded_profile.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "agent/format/folded_encoder.h"
#include "agent/format/gzip.h"
#include "agent/format/pprof_encoder.h"
#include "agent/format/timeline_encoders.h"
#include "agent/report/diff_report.h"
#include "agent/report/facts_json.h"
#include "agent/report/svg_encoder.h"
#include "tests/support/catch.h"

using namespace agent;

namespace {

const WallTime kStart{Nanoseconds(1'700'000'000'123'456'789)};

struct Fixture {
  FunctionTable functions;
  Module module{.path = "/lib/libfoo.so", .build_id = "12ab", .start = 0x1000, .end = 0x9000};
  Profile profile{kStart, std::chrono::milliseconds(100)};

  Fixture() {
    profile.set_period(std::chrono::milliseconds(10));
    profile.set_duration(std::chrono::seconds(2));
    const Frame main{.function = functions.Intern("main", "/a.py", 1), .line = 3};
    const Frame work{.function = functions.Intern("Шop.run", "/ü.py", 10), .line = 12};
    const Frame small{.function = functions.Intern("small", "/s.h", 5), .line = 6, .inlined = true};
    const Frame unnamed{.function = functions.Intern("libfoo.so+0x1234", "", 0),
                        .module = &module,
                        .address = 0x1234};
    Add({work, main}, 2, 0, {.count = 2, .cpu_ns = 20'000'000});
    Add({small, work, main}, 3, 5, {.count = 3, .cpu_ns = 31'000'000});
    Add({unnamed, main}, 3, 7, {.count = 1, .cpu_ns = 9'000'001});
  }
  void Add(const std::vector<Frame>& stack, int tid, int slice, SampleValue value) {
    profile.Add(profile.InternStack(stack),
                profile.InternThread({.pid = Pid{1},
                                      .tid = Tid{tid},
                                      .process_name = "app",
                                      .thread_name = "t" + std::to_string(tid)}),
                SampleKind::kCpu, kStart + profile.slice_length() * slice, value);
  }
};

// Everything that a profile says, whatever the order: "thread|slice|leaf;...;root" → values.
std::map<std::string, std::vector<std::int64_t>> Content(const Profile& profile) {
  std::map<std::string, std::vector<std::int64_t>> content;
  for (const Profile::Entry& entry : profile.Entries()) {
    const ThreadInfo& thread = profile.Thread(entry.key.thread);
    std::string key = thread.process_name + "/" + thread.thread_name + "/" +
                      std::to_string(static_cast<int>(thread.tid)) + "|" +
                      std::to_string(entry.key.slice);
    for (const Frame& frame : profile.StackFrames(entry.key.stack)) {
      key += "|" + frame.function->name + " " + frame.function->file + ":" +
             std::to_string(frame.function->start_line) + " at " + std::to_string(frame.line) +
             (frame.inlined ? " inlined" : "");
      if (frame.module != nullptr) {
        key += " in " + frame.module->path + " " + frame.module->build_id + "+" +
               std::to_string(frame.address);
      }
    }
    content[key] = {entry.value.count, entry.value.cpu_ns, entry.value.wall_ns};
  }
  return content;
}

std::string Fault(std::string_view bytes) {
  const auto profile = ParseProfile(bytes);
  return profile ? "" : profile.error().Message();
}

}  // namespace

TEST_CASE_METHOD(Fixture, "Loaded profile: pprof comes back as it was written") {
  const std::string bytes =
      Gzip(EncodePprof(profile, {.sample_labels = true, .facts = "{\"a\":1}"}));
  const auto loaded = ParseProfile(bytes);
  REQUIRE(loaded);
  const Profile& read = (*loaded)->profile;
  CHECK(Content(read) == Content(profile));
  CHECK(read.start() == profile.start());
  CHECK(read.duration() == profile.duration());
  CHECK(read.period() == profile.period());
  CHECK((*loaded)->facts == "{\"a\":1}");
}

TEST_CASE_METHOD(Fixture, "Loaded profile: two files add up") {
  const std::string bytes = EncodePprof(profile, {.sample_labels = true});
  const auto sum = ParseProfile(bytes);
  const auto more = ParseProfile(bytes);
  REQUIRE(sum);
  REQUIRE(more);
  AddProfile(**sum, **more);
  // The second one comes behind the first, which took two seconds.
  Fixture later;
  later.profile = Profile(kStart, profile.slice_length());
  for (const Profile::Entry& entry : profile.Entries()) {
    const std::span<const Frame> frames = profile.StackFrames(entry.key.stack);
    for (const std::int64_t slice :
         {std::int64_t{entry.key.slice}, entry.key.slice + std::int64_t{20}}) {
      later.profile.Add(later.profile.InternStack(frames),
                        later.profile.InternThread(profile.Thread(entry.key.thread)),
                        entry.key.kind, kStart + profile.slice_length() * slice, entry.value);
    }
  }
  CHECK(Content((*sum)->profile) == Content(later.profile));
  CHECK((*sum)->profile.duration() == std::chrono::seconds(4));
}

TEST_CASE_METHOD(Fixture, "Loaded profile: collapsed stacks keep stacks and counts") {
  const std::string text = EncodeFolded(profile);
  const auto loaded = ParseProfile(text);
  REQUIRE(loaded);
  CHECK(EncodeFolded((*loaded)->profile) == text);
  CHECK((*loaded)->profile.Total().count == 6);
  CHECK((*loaded)->profile.Total().cpu_ns == 0);  // it told no times
}

TEST_CASE("Loaded profile: collapsed stacks of other tools") {
  const auto loaded = ParseProfile(
      "# a comment\n"
      "<module> (app.py:3);run (/srv/lib/app.py:12);f() const 2\r\n"
      "a b;c (anonymous namespace)::d 1.0\n\n");
  REQUIRE(loaded);
  const auto content = Content((*loaded)->profile);
  CHECK(content.contains(
      "//0|0|f() const :0 at 0|run /srv/lib/app.py:0 at 12|<module> app.py:0 at 3"));
  CHECK(content.contains("//0|0|c (anonymous namespace)::d :0 at 0|a b :0 at 0"));
}

TEST_CASE_METHOD(Fixture, "Loaded profile: speedscope keeps threads, stacks and CPU time") {
  const auto loaded = ParseProfile(EncodeSpeedscope(profile));
  REQUIRE(loaded);
  CHECK((*loaded)->profile.Total().cpu_ns == profile.Total().cpu_ns);
  CHECK((*loaded)->profile.Total().wall_ns == 0);
  for (const auto& [key, values] : Content((*loaded)->profile)) {
    INFO(key);
    CHECK((key.starts_with("/app: t2 (tid 2)/") || key.starts_with("/app: t3 (tid 3)/")));
  }
}

TEST_CASE("Loaded profile: speedscope's events become the time between them") {
  const auto loaded = ParseProfile(R"({"shared":{"frames":[{"name":"a"},{"name":"b","file":"/f",
      "line":4}]},"profiles":[{"type":"evented","name":"x","unit":"microseconds","startValue":0,
      "endValue":10,"events":[{"type":"O","frame":0,"at":0},{"type":"O","frame":1,"at":3},
      {"type":"C","frame":1,"at":8},{"type":"C","frame":0,"at":10}]}]})");
  REQUIRE(loaded);
  std::map<std::string, std::int64_t> wall;
  for (const auto& [key, values] : Content((*loaded)->profile)) {
    wall[key.substr(key.find('|', 5))] += values[2];
  }
  CHECK(wall["|a :0 at 0"] == 5000);
  CHECK(wall["|b /f:0 at 4|a :0 at 0"] == 5000);
}

TEST_CASE("Loaded profile: collapsed stacks whatever they begin with") {
  for (const std::string text : {"\xc3\xbc"
                                 "ber;b 3\n",
                                 "\xef\xbb\xbf"
                                 "a;b 3\n",
                                 "{main};b 3\n"}) {
    const auto loaded = ParseProfile(text);
    INFO(text);
    REQUIRE(loaded);
    CHECK((*loaded)->profile.Total().count == 3);
  }
}

TEST_CASE("Loaded profile: a small file cannot ask for memory without end") {
  std::string events;
  for (int i = 0; i < 10'001; ++i) events += R"({"type":"O","frame":0,"at":0},)";
  CHECK(Fault(R"({"shared":{"frames":[{"name":"a"}]},"profiles":[{"type":"evented","name":"x",
      "unit":"none","startValue":0,"endValue":1,"events":[)" +
              events + R"({"type":"O","frame":0,"at":1}]}]})")
            .find("too many frames") != std::string::npos);
}

TEST_CASE("Loaded profile: values that cannot be added up are refused") {
  Profile large(WallTime(Nanoseconds(-5)), std::chrono::milliseconds(100));
  FunctionTable functions;
  const auto add = [&](std::string_view name) {
    const std::array<Frame, 1> stack = {Frame{.function = functions.Intern(name, "", 0)}};
    large.Add(large.InternStack(stack), large.InternThread({}), SampleKind::kCpu, large.start(),
              {.count = INT64_MAX / 4});
  };
  add("a");
  const auto loaded = ParseProfile(EncodePprof(large, {.sample_labels = true}));
  REQUIRE(loaded);
  CHECK((*loaded)->profile.Total().count == INT64_MAX / 4);
  CHECK((*loaded)->profile.start() == WallTime());
  add("b");
  CHECK(Fault(EncodePprof(large, {})).find("too large") != std::string::npos);
  std::string folded;
  for (int i = 0; i < 2400; ++i) folded += "a;b 999999999999999\n";
  CHECK(Fault(folded).find("too large") != std::string::npos);
}

TEST_CASE("Loaded profile: what cannot be shown says why") {
  CHECK(Fault("").find("empty") != std::string::npos);
  CHECK(Fault("root:x:0:0:root:/root:/bin/bash and more\n").find("root:x") != std::string::npos);
  CHECK(Fault("{\"a\":1}").find("speedscope") != std::string::npos);
  CHECK(Fault("{\"a\":").find("JSON") != std::string::npos);
  CHECK(Fault(std::string("\x1f\x8b", 2) + "abc").find("gzip") != std::string::npos);
  CHECK(Fault(std::string("\x00\x01\x02", 3)).find("pprof") != std::string::npos);
  CHECK(Fault(R"({"shared":{"frames":[]},"profiles":[{"type":"sampled","name":"x","unit":"bytes",
      "startValue":0,"endValue":1,"samples":[],"weights":[]}]})")
            .find("bytes") != std::string::npos);
  CHECK(Fault(R"({"shared":{"frames":[]},"profiles":[{"type":"sampled","name":"x","unit":"none",
      "startValue":0,"endValue":1,"samples":[[4]],"weights":[1]}]})")
            .find("speedscope") != std::string::npos);
}

TEST_CASE_METHOD(Fixture,
                 "Loaded profile: every cut and every changed byte of a pprof is survived") {
  const std::string bytes = EncodePprof(profile, {.sample_labels = true});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    static_cast<void>(DecodePprof(std::string_view(bytes).substr(0, size)));
  }
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const char byte : {'\x00', '\x7f', '\xff'}) {
      std::string changed = bytes;
      changed[at] = byte;
      static_cast<void>(DecodePprof(changed));
    }
  }
}

TEST_CASE_METHOD(Fixture, "Gecko: each index is within its table, each sample is there") {
  const auto file = nlohmann::json::parse(EncodeGecko(profile));
  std::int64_t samples = 0;
  double cpu = 0;
  for (const auto& thread : file["threads"]) {
    const auto& frames = thread["frameTable"]["data"];
    const auto& stacks = thread["stackTable"]["data"];
    for (const auto& frame : frames) CHECK(frame[0] < thread["stringTable"].size());
    for (std::size_t i = 0; i < stacks.size(); ++i) {
      CHECK((stacks[i][0].is_null() || stacks[i][0] < i));
      CHECK(stacks[i][1] < frames.size());
    }
    double before = 0;
    for (const auto& sample : thread["samples"]["data"]) {
      CHECK(sample[0] < stacks.size());
      CHECK(sample[1] >= before);
      before = sample[1];
      ++samples;
      cpu += sample[3].get<double>();
    }
  }
  CHECK(samples == 6);
  CHECK(cpu == Approx(60'000'001).margin(6));
}

TEST_CASE("Gecko: of very many samples the shares stay, in a bounded file") {
  const auto loaded = ParseProfile("hot 30000000\ncold 3000000\n");
  REQUIRE(loaded);
  const auto file = nlohmann::json::parse(EncodeGecko((*loaded)->profile));
  const auto& samples = file["threads"][0]["samples"]["data"];
  CHECK(samples.size() < 1'100'000);
  std::map<std::int64_t, std::int64_t> counts;
  for (const auto& sample : samples) ++counts[sample[0].get<std::int64_t>()];
  REQUIRE(counts.size() == 2);
  const auto [few, many] = std::minmax(counts.begin()->second, counts.rbegin()->second);
  CHECK(static_cast<double>(many) / static_cast<double>(few) == Approx(10).epsilon(0.01));
}

TEST_CASE("SVG: a name cannot end its element") {
  FunctionTable functions;
  Profile profile(kStart, Nanoseconds(0));
  const Frame frame{.function = functions.Intern("</text><script>alert(1)</script>&\"\x1b", "", 0)};
  profile.Add(profile.InternStack({&frame, 1}), profile.InternThread({}), SampleKind::kCpu, kStart,
              {.count = 1, .cpu_ns = 10});
  const std::string svg = EncodeSvg(profile);
  CHECK(svg.find("<script") == std::string::npos);
  CHECK(svg.find("&lt;/text&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;\\x1b") !=
        std::string::npos);
}

TEST_CASE("Facts come back from their JSON") {
  RunFacts facts;
  facts.name = "app";
  facts.command = {"./app", "-x"};
  facts.pid = Pid{12};
  facts.host = "h";
  facts.runtimes = {{"CPython 3.12.1", 2}};
  facts.kernel_cpu = std::chrono::milliseconds(1500);
  facts.achieved_rate = 99.5;
  facts.own = {.cpu = std::chrono::milliseconds(20), .peak_bytes = 4096};
  Profile profile(kStart, Nanoseconds(0));
  profile.losses().torn = 3;
  RunFacts read;
  LossCounters losses;
  const std::string json = FactsJson(profile, facts);
  REQUIRE(ReadFactsJson(json, read, losses));
  CHECK(FactsJson(profile, read) == json);
  CHECK(losses.torn == 3);
  for (const char* bad : {"", "{}", "[1]", R"({"name":1})"}) {
    CHECK_FALSE(ReadFactsJson(bad, read, losses));
  }
  CHECK(read.name == "app");
  const auto folded = ParseProfile("a;b 3\n");
  REQUIRE(folded);
  const auto unknown = nlohmann::json::parse(FactsJson((*folded)->profile, {}));
  for (const char* key :
       {"name", "host", "system", "start", "duration", "cpu", "cpu_not_sampled"}) {
    INFO(key);
    CHECK(unknown.at(key).is_null());
  }
}

TEST_CASE("Diff: shares of each run's whole; new and gone functions; lines may have moved") {
  FunctionTable functions;
  const auto make =
      [&](const std::vector<std::tuple<std::string, std::uint32_t, std::int64_t>>& parts) {
        Profile profile(kStart, Nanoseconds(0));
        for (const auto& [name, line, ms] : parts) {
          const Frame frame{.function = functions.Intern(name, "/a.py", line)};
          profile.Add(profile.InternStack({&frame, 1}), profile.InternThread({}), SampleKind::kCpu,
                      kStart, {.count = ms, .cpu_ns = ms * 1'000'000});
        }
        return profile;
      };
  const Profile before = make({{"stays", 1, 50}, {"grows", 9, 40}, {"old", 20, 10}});
  const Profile after = make({{"stays", 2, 100}, {"grows", 9, 92}, {"new", 20, 8}});
  const auto changes = CompareFunctions(before, after, kCpuTime);
  REQUIRE(changes.size() == 4);
  CHECK(changes[0].function->name == "old");
  CHECK(changes[3].function->name == "stays");
  CHECK(changes[3].self_share_before == changes[3].self_share_after);
  const std::string text = FormatDiff(before, after, kCpuTime);
  CHECK(text.find("cpu: 0.10 s before, 0.20 s after (+100.0 %)") != std::string::npos);
  CHECK(text.find(" 10.00 %   0.00 %   -10.00      gone    -10.00  old (/a.py:20)") !=
        std::string::npos);
  CHECK(text.find(" 40.00 %  46.00 %    +6.00   +15.0 %     +6.00  grows") != std::string::npos);
  CHECK(text.find("  0.00 %   4.00 %    +4.00       new     +4.00  new") != std::string::npos);
}

TEST_CASE("Diff: two lambdas of one file are one, and count once in a stack") {
  FunctionTable functions;
  Profile profile(kStart, Nanoseconds(0));
  const Stack stack = {{.function = functions.Intern("<lambda>", "/a.py", 3)},
                       {.function = functions.Intern("<lambda>", "/a.py", 9)}};
  profile.Add(profile.InternStack(stack), profile.InternThread({}), SampleKind::kCpu, kStart,
              {.count = 1, .cpu_ns = 10});
  const auto changes = CompareFunctions(profile, profile, kCpuTime);
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].total_share_after == 1);
}
