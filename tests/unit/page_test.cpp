// SPDX-License-Identifier: Apache-2.0
// What the page is given, read back by a JSON library that is not ours.
#include <nlohmann/json.hpp>

#include "agent/format/gzip.h"
#include "agent/format/json.h"
#include "agent/report/facts_json.h"
#include "agent/report/page_data.h"
#include "agent/report/page_encoder.h"
#include "tests/support/catch.h"

using namespace agent;
using nlohmann::json;

namespace {

const WallTime kStart{Nanoseconds(1'700'000'000'123'456'789)};

struct Fixture {
  FunctionTable functions;
  Profile profile{kStart, std::chrono::milliseconds(100)};
  RunFacts facts;
  Frame main{.function = functions.Intern("main", "/a.py", 1), .line = 3};
  Frame work{.function = functions.Intern("work", "/a.py", 10), .line = 12};
  ThreadIndex thread = profile.InternThread(
      {.pid = Pid{1}, .tid = Tid{2}, .process_name = "app", .thread_name = "t\"2"});

  Fixture() {
    profile.set_period(std::chrono::milliseconds(10));
    profile.set_duration(std::chrono::milliseconds(2500));
  }

  void Add(const Stack& stack, Nanoseconds at, SampleValue value) {
    profile.Add(profile.InternStack(stack), thread, SampleKind::kCpu, kStart + at, value);
  }

  [[nodiscard]] json Data() const {
    return json::parse(PageDataJson(std::array{Run{profile, facts}}, std::nullopt));
  }
};

json Text(const json& data, const json& id) { return data["strings"][id.get<std::size_t>()]; }

}  // namespace

TEST_CASE("JSON: what must be escaped is, and what is no UTF-8 is replaced") {
  CHECK(JsonString("a\"b\\c/d") == R"("a\"b\\c/d")");
  CHECK(json::parse(JsonString("tab\tbell\a\x1b nul" + std::string(1, '\0'))) ==
        "tab\tbell\a\x1b nul" + std::string(1, '\0'));
  CHECK(json::parse(JsonString("</script>\xff\u2028")) == "</script>\uFFFD\u2028");
}

TEST_CASE_METHOD(Fixture, "Page data: one tree, callers before what they call") {
  Add({work, main}, Nanoseconds(0), {.count = 2, .cpu_ns = 20});
  Add({main}, Nanoseconds(0), {.count = 1, .cpu_ns = 7});
  const json data = Data();
  CHECK(data["compare"].is_null());
  REQUIRE(data["nodes"]["back"].size() == 3);  // the root, main, work
  CHECK(data["nodes"]["back"] == json::array({0, 1, 1}));
  const json& table = data["functions"];
  const auto first = data["nodes"]["function"][1].get<std::size_t>();
  CHECK(Text(data, table["name"][first]) == "main");
  CHECK(Text(data, table["file"][first]) == "/a.py");
  CHECK(table["line"][first] == 1);
  const json& samples = data["runs"][0]["samples"];
  CHECK(samples["node+"] == json::array({1, 1}));
  CHECK(samples["count"] == json::array({1, 2}));
  CHECK(samples["cpu"] == json::array({7, 20}));
  CHECK_FALSE(samples.contains("wall"));
  const json& threads = data["runs"][0]["threads"];
  CHECK(threads["tid"] == json::array({2}));
  CHECK(Text(data, threads["thread"][0]) == "t\"2");
}

TEST_CASE_METHOD(Fixture,
                 "Page data: stacks that differ in lines only are one, and lines have a table") {
  Frame later = work;
  later.line = 15;
  Add({work, main}, Nanoseconds(0), {.count = 1, .cpu_ns = 10});
  Add({later, main}, Nanoseconds(0), {.count = 1, .cpu_ns = 30});
  const json run = Data()["runs"][0];
  CHECK(run["samples"]["cpu"] == json::array({40}));
  CHECK(run["lines"]["line"] == json::array({12, 15}));
  CHECK(run["lines"]["cpu"] == json::array({10, 30}));
}

TEST_CASE_METHOD(Fixture, "Page data: time slices and wall time") {
  Add({main}, Nanoseconds(0), {.count = 1, .cpu_ns = 10, .wall_ns = 11});
  Add({main}, std::chrono::milliseconds(250), {.count = 1, .cpu_ns = 20, .wall_ns = 22});
  const json run = Data()["runs"][0];
  CHECK(run["slice"] == 100'000'000);
  CHECK(run["samples"]["slice"] == json::array({0, 2}));
  CHECK(run["samples"]["wall"] == json::array({11, 22}));
}

TEST_CASE_METHOD(Fixture,
                 "Page data: past half a million rows times are coarser, and sums the same") {
  std::int64_t sum = 0;
  for (std::uint32_t i = 0; i < 400; ++i) {
    const Frame leaf{.function = functions.Intern("f" + std::to_string(i), "", 0), .line = 0};
    const StackId stack = profile.InternStack({&leaf, 1});
    for (std::int64_t slice = 0; slice < 2000; ++slice) {
      profile.Add(stack, thread, SampleKind::kCpu, kStart + std::chrono::milliseconds(100) * slice,
                  {.count = 1, .cpu_ns = slice});
      sum += slice;
    }
  }
  profile.set_duration(std::chrono::seconds(200));
  const json run = Data()["runs"][0];
  CHECK(run["slice"] == 200'000'000);
  CHECK(run["samples"]["cpu"].size() == 400'000);
  std::int64_t kept = 0;
  for (const json& value : run["samples"]["cpu"]) kept += value.get<std::int64_t>();
  CHECK(kept == sum);
}

TEST_CASE_METHOD(Fixture, "Page data: two runs share functions by name, not by table") {
  Add({work, main}, Nanoseconds(0), {.count = 1, .cpu_ns = 10});
  Fixture other;
  other.Add({other.work, other.main}, Nanoseconds(0), {.count = 1, .cpu_ns = 30});
  other.Add({other.main}, Nanoseconds(0), {.count = 1, .cpu_ns = 5});
  const std::array runs = {Run{profile, facts}, Run{other.profile, other.facts}};
  const json data = json::parse(PageDataJson(runs, CompareBy::kCount));
  CHECK(data["compare"] == "count");
  CHECK(data["nodes"]["back"].size() == 3);
  CHECK(data["functions"]["name"].size() == 2);
  CHECK(data["runs"][0]["samples"]["node+"] == json::array({2}));
  CHECK(data["runs"][1]["samples"]["node+"] == json::array({1, 1}));
}

TEST_CASE_METHOD(Fixture, "Page data: an empty profile, and a stack without frames") {
  CHECK(Data()["runs"][0]["samples"]["cpu"].empty());
  Add({}, Nanoseconds(0), {.count = 1, .cpu_ns = 10});
  CHECK(Data()["runs"][0]["samples"]["node+"] == json::array({0}));
}

TEST_CASE_METHOD(Fixture, "Page: whole, with its data in it, which no name can end early") {
  Frame hostile{.function = functions.Intern("</script><script>", "-->", 0), .line = 0};
  Add({hostile}, Nanoseconds(0), {.count = 1, .cpu_ns = 10});
  const std::string page = EncodePage(profile, facts);
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(page.ends_with("</html>\n"));
  CHECK(page.find("default-src 'none'") != std::string::npos);
  CHECK(page.find("</script><script>") == std::string::npos);
  CHECK(page.find("http://") == std::string::npos);
  CHECK(page.find("https://") == std::string::npos);
  CHECK(Gzip(page).size() < 60'000);
}
