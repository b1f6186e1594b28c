// SPDX-License-Identifier: Apache-2.0
#include "agent/report/top_view.h"

#include <algorithm>

#include "tests/support/catch.h"

using namespace agent;

namespace {

struct Fixture {
  FunctionTable functions;
  TopView view{"12", "app", functions.Marker("[other stacks]")};
  std::int64_t seconds = 1'700'000'000;

  // A window of a second; names from the leaf on.
  void Add(const std::vector<std::pair<std::vector<std::string>, std::int64_t>>& stacks,
           int tid = 12) {
    Profile window(WallTime(std::chrono::seconds(seconds++)), std::chrono::milliseconds(100));
    window.set_duration(std::chrono::seconds(1));
    for (const auto& [names, ms] : stacks) {
      Stack stack;
      for (const std::string& name : names) {
        stack.push_back({.function = functions.Intern(name, "/a.py", 7)});
      }
      window.Add(window.InternStack(stack),
                 window.InternThread({.pid = Pid{12},
                                      .tid = Tid{tid},
                                      .process_name = "app",
                                      .thread_name = "t" + std::to_string(tid)}),
                 SampleKind::kCpu, window.start(), {.count = ms / 10, .cpu_ns = ms * 1'000'000});
    }
    view.Add(window);
  }
  std::vector<std::string> Lines(std::size_t rows = 24, std::size_t columns = 80) {
    return view.Draw(rows, columns).lines;
  }
  void Type(std::string_view keys) {
    for (const char key : keys) view.Press(TopView::Key::kCharacter, key);
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "Top: now is the last five windows, beside the whole run") {
  Add({{{"old", "main"}, 1000}});
  for (int i = 0; i < 5; ++i) Add({{{"hot", "main"}, 400}, {{"warm", "main"}, 100}});
  const auto lines = Lines();
  CHECK(lines[0] == "12: 50 % CPU, 50 samples/s; 3.5 s of CPU since 6 s; app");
  CHECK(lines[2] == "  last 5 s, %    since start");
  CHECK(lines[3] == "  SELF  total    self  total  function");
  CHECK(lines[4] == "  80.0   80.0    57.1   57.1  hot (/a.py:7)");
  CHECK(lines[5] == "  20.0   20.0    14.3   14.3  warm (/a.py:7)");
  CHECK(lines[6] == "   0.0    0.0    28.6   28.6  old (/a.py:7)");
  CHECK(lines[7] == "   0.0  100.0     0.0  100.0  main (/a.py:7)");
  Type("s");
  CHECK(Lines()[3] == "  self  TOTAL    self  total  function");
  CHECK(Lines()[4] == "   0.0  100.0     0.0  100.0  main (/a.py:7)");
  Type("a");
  CHECK(Lines()[3] == "  self  total    self  TOTAL  function");
}

TEST_CASE_METHOD(Fixture, "Top: a filter, callers, threads, a pause, the end") {
  Add({{{"leaf", "a", "main"}, 300}, {{"leaf", "b", "main"}, 100}});
  Type("/le");
  REQUIRE(Lines().size() == 5);
  view.Press(TopView::Key::kEnter);  // ends the filter's text
  view.Press(TopView::Key::kEnter);
  CHECK(Lines()[2] == "callers of leaf (/a.py:7), nearest first");
  CHECK(Lines()[3] == "  75.0 %  a < main");
  CHECK(Lines()[4] == "  25.0 %  b < main");
  view.Press(TopView::Key::kEscape);
  Type("/");
  view.Press(TopView::Key::kEscape);
  CHECK(Lines().size() == 8);
  Add({{{"<gc>", "x"}, 500}}, 13);
  Type("t");
  CHECK(Lines()[2] == " CPU %  GIL %   GC %  JIT %       tid  thread");
  CHECK(Lines()[3] == "  25.0      -  100.0      -        13  t13");
  CHECK(Lines()[4] == "  20.0      -    0.0      -        12  t12");
  Type("tp");
  Add({{{"unseen"}, 1000}});
  const auto lines = Lines();
  CHECK(lines[0].ends_with("; PAUSED; app"));
  CHECK(std::ranges::any_of(lines, [](const std::string& line) {
    return line.starts_with("   0.0    0.0    52.6   52.6  unseen");
  }));
  CHECK_FALSE(view.TakeQuit());
  Type("q");
  CHECK(view.TakeQuit());
  CHECK_FALSE(view.TakeQuit());
  CHECK(Lines()[0].contains("; ENDING; "));
}

TEST_CASE_METHOD(Fixture, "Top: who has the GIL, collects and compiles") {
  Add({{{"work", "main", "[holds the GIL]"}, 300}, {{"wait", "main"}, 100}});
  Add({{{"<gc>", "work", "main", "[holds the GIL]"}, 100},
       {{"libclrjit.so+0x10", "[JIT]", "main"}, 100}});
  Type("t");
  CHECK(Lines()[3] == "  30.0   66.7   16.7   16.7        12  t12");
  Type("t");
  // The mark is no function and no caller.
  for (const std::string& line : Lines()) CHECK_FALSE(line.contains("GIL"));
  CHECK(Lines()[9] == "   0.0  100.0     0.0  100.0  main (/a.py:7)");
  Type("s");
  view.Press(TopView::Key::kEnter);
  CHECK(Lines()[3] == " 100.0 %  (no caller)");
}

TEST_CASE_METHOD(Fixture, "Top: .NET's collector") {
  Profile window(WallTime(std::chrono::seconds(seconds)), std::chrono::milliseconds(100));
  window.set_duration(std::chrono::seconds(1));
  const Stack stack = {{.function = functions.Intern("libcoreclr.so+0x1", "", 0)},
                       {.function = functions.Marker("[GC]")}};
  window.Add(
      window.InternStack(stack),
      window.InternThread(
          {.pid = Pid{12}, .tid = Tid{14}, .process_name = "app", .thread_name = ".NET Server GC"}),
      SampleKind::kCpu, window.start(), {.count = 1, .cpu_ns = 500'000'000});
  view.Add(window);
  Type("t");
  CHECK(Lines()[3] == "  50.0      -  100.0      -        14  .NET Server GC");
}

TEST_CASE_METHOD(Fixture, "Top: the selected line where rows have gone") {
  Add({{{"one"}, 300}, {{"two"}, 200}, {{"three"}, 100}});
  for (int i = 0; i < 50; ++i) view.Press(TopView::Key::kDown);
  view.Press(TopView::Key::kUp);  // from the last one, however often it was asked for
  CHECK(view.Draw(24, 80).selected == 5);
  Type("/three");
  view.Press(TopView::Key::kEnter);
  CHECK(view.Draw(24, 80).selected == 4);
  view.Press(TopView::Key::kEnter);
  CHECK(Lines()[2] == "callers of three (/a.py:7), nearest first");
}

TEST_CASE_METHOD(Fixture, "Top: where there is little room a name goes before its place") {
  Add({{{"shop::Cart::Total"}, 300}});
  CHECK(Lines(24, 60)[4] == " 100.0  100.0   100.0  100.0  shop::Cart::Total (/a.py:7)");
  CHECK(Lines(24, 57)[4] == " 100.0  100.0   100.0  100.0  shop::Cart::Total (/a.py:7)");
  CHECK(Lines(24, 50)[4] == " 100.0  100.0   100.0  100.0  shop::Cart::Total");
  CHECK(Lines(24, 40)[4] == " 100.0  100.0   100.0  100.0  …rt::Total");
  CHECK(Lines(24, 20)[4] == " 100.0  100.0   100.");
}

TEST_CASE_METHOD(Fixture, "Top: never more than the screen, the selected line always on it") {
  std::vector<std::pair<std::vector<std::string>, std::int64_t>> many;
  for (int i = 0; i < 50; ++i) many.push_back({{std::string(200, 'x') + std::to_string(i)}, 10});
  Add(many);
  for (const std::size_t rows : {1u, 3u, 5u, 24u}) {
    CHECK(Lines(rows, 40).size() == std::min<std::size_t>(rows, 54));
    for (const std::string& line : Lines(rows, 40)) CHECK(line.size() <= 40 + 2);  // "…"
  }
  for (int i = 0; i < 100; ++i) view.Press(TopView::Key::kDown);
  const TopView::Picture picture = view.Draw(10, 40);
  REQUIRE(picture.selected);
  CHECK(*picture.selected == picture.lines.size() - 1);
}
