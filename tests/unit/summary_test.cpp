// SPDX-License-Identifier: Apache-2.0
#include "agent/report/summary.h"

#include <algorithm>
#include <vector>

#include "tests/support/catch.h"

using namespace agent;

namespace {

struct Fixture {
  RunFacts facts;
  FunctionTable functions;
  Profile profile{WallTime(std::chrono::seconds(1'700'000'000)), Nanoseconds(0)};

  Fixture() {
    profile.set_period(std::chrono::milliseconds(10));
    profile.set_duration(std::chrono::seconds(4));
  }
  // `names` from the leaf; 10 ms for each sample.
  void Add(const std::vector<std::string>& names, std::int64_t count) {
    std::vector<Frame> stack;
    for (const std::string& name : names) {
      stack.push_back({.function = functions.Intern(name, "/srv/app.py", 7), .line = 8});
    }
    profile.Add(profile.InternStack(stack), profile.InternThread({}), SampleKind::kCpu,
                profile.start(), {.count = count, .cpu_ns = count * 10'000'000});
  }
  std::vector<std::string> Lines(std::size_t most = 15) {
    std::vector<std::string> lines;
    const std::string text =
        FormatSummary(profile, facts, {.prefix = "agent: ", .max_functions = most});
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return lines;
  }
};

std::size_t Columns(const std::string& line) {
  return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

TEST_CASE_METHOD(Fixture, "Summary: shares of self and total, recursion once") {
  Add({"leaf", "middle", "main"}, 150);
  Add({"recursive", "recursive", "main"}, 50);
  const auto lines = Lines();
  REQUIRE(lines.size() == 6);
  CHECK(lines[0] == "agent: 200 samples, 2.00 s of CPU in 4.00 s");
  CHECK(lines[2] == " 75.00 %  75.00 %    1.50  leaf (/srv/app.py:7)");
  CHECK(lines[3] == " 25.00 %  25.00 %    0.50  recursive (/srv/app.py:7)");
  CHECK(lines[4] == "  0.00 % 100.00 %    0.00  main (/srv/app.py:7)");
  CHECK(lines[5] == "  0.00 %  75.00 %    0.00  middle (/srv/app.py:7)");
}

TEST_CASE_METHOD(Fixture, "Summary: losses are told when there are some") {
  Add({"main"}, 1);
  CHECK(Lines()[0].find("lost") == std::string::npos);
  profile.losses() = {.torn = 1,
                      .unreadable = 2,
                      .stop_timeout = 3,
                      .late_ticks = 4,
                      .dropped = 5,
                      .truncated = 6,
                      .folded = 7};
  const std::string header = Lines()[0];
  for (const char* part :
       {", 11 samples lost", ", 4 ticks left out", ", 6 stacks cut", ", 7 stacks folded"}) {
    INFO(part);
    CHECK(header.find(part) != std::string::npos);
  }
}

TEST_CASE_METHOD(Fixture, "Summary: lines fit a terminal, names keep their end") {
  Add({std::string(500, 'x') + ".the_end"}, 1);
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "ü";
  Add({umlauts}, 1);
  for (const std::string& line : Lines()) CHECK(Columns(line) <= 110);
  CHECK(Lines()[2].find(".the_end (") != std::string::npos);
  CHECK(Lines()[3].find("…ü") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "Summary: no control character of a name reaches the terminal") {
  Add({"a\x1b[2J\x7f\xc2\x9b"
       "2Jb\r\n"},
      1);
  const std::string text = FormatSummary(profile, facts);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("\xc2\x9b") == std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  CHECK(text.find(R"(a\x1b[2J\x7f\x9b2Jb\x0d\x0a)") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "Summary: what is not shown is counted") {
  for (int i = 0; i < 20; ++i) Add({"f" + std::to_string(i)}, i + 1);
  const auto lines = Lines(5);
  CHECK(lines.size() == 7);
  CHECK(lines[1].ends_with("function (5 of 20)"));
}

TEST_CASE_METHOD(Fixture, "Summary: nothing sampled is one line") {
  CHECK(Lines() == std::vector<std::string>{"agent: 0 samples in 4.00 s"});
}

TEST_CASE_METHOD(Fixture, "Summary: what makes the figures trustworthy") {
  Add({"main"}, 100);
  facts.kernel_cpu = std::chrono::milliseconds(1010);
  facts.runtimes = {{"CPython 3.12.1", 2}, {"native", 1}};
  facts.pauses = {.count = 3,
                  .p50 = std::chrono::microseconds(24),
                  .p99 = std::chrono::microseconds(70),
                  .max = std::chrono::microseconds(80)};
  facts.own = {.cpu = std::chrono::milliseconds(120), .peak_bytes = 3'500'000};
  CHECK(Lines()[0] == "agent: 100 samples, 1.00 s of CPU in 4.00 s (the kernel counted 1.01 s)");
  CHECK(Lines()[1] ==
        "agent: CPython 3.12.1 (2 processes), native; 3 stops, median 24 us, longest 80 us; the "
        "agent took 0.12 s of CPU, 3.5 MB");
  facts.throttling = {.periods = 10, .throttled_periods = 4, .throttled = std::chrono::seconds(2)};
  CHECK(Lines()[1].ends_with("; over its CPU limit for 2.00 s"));
}

TEST_CASE_METHOD(Fixture, "Summary: a file without times is shown by its samples") {
  const Frame frame{.function = functions.Intern("main", "", 0)};
  profile.Add(profile.InternStack({&frame, 1}), profile.InternThread({}), SampleKind::kCpu,
              profile.start(), {.count = 7});
  CHECK(Lines()[0] == "agent: 7 samples in 4.00 s");
  CHECK(Lines()[2] == "100.00 % 100.00 %       7  main");
}
