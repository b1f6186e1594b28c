// SPDX-License-Identifier: Apache-2.0
// Writes a report's page of a profile that no program would give so easily.
//
// usage: page_probe hostile|large|hour|diff FILE.html
//   hostile  names, threads and a command with markup, quotes, controls and bidirectional marks
//   large    some 50,000 nodes, in four threads over a minute
//   hour     an hour at 100 Hz: eight threads, half of them busy, 4,000 different stacks
//   diff     two runs: one function became slower, one is new, one is gone
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>

#include "agent/report/page_encoder.h"
#include "agent/report/run_file.h"

using namespace agent;

namespace {

const WallTime kStart{std::chrono::seconds(1'700'000'000)};
constexpr Nanoseconds kSlice = std::chrono::milliseconds(100);
constexpr Nanoseconds kPeriod = std::chrono::milliseconds(10);

struct Made {
  FunctionTable functions;
  Profile profile{kStart, kSlice};
  RunFacts facts;

  explicit Made(Nanoseconds duration) {
    profile.set_period(kPeriod);
    profile.set_duration(duration);
    facts.name = "made up";
    facts.command = {"made", "up"};
    facts.host = "nowhere";
  }

  Frame Call(std::string_view name, std::string_view file, std::uint32_t line = 1) {
    return {.function = functions.Intern(name, file, line), .line = line + 1};
  }

  ThreadIndex Thread(int tid, std::string_view name) {
    return profile.InternThread({.pid = Pid{100},
                                 .tid = Tid{tid},
                                 .process_name = "made",
                                 .thread_name = std::string(name)});
  }

  void Add(const Stack& stack, ThreadIndex thread, Nanoseconds at, std::int64_t count = 1) {
    profile.Add(profile.InternStack(stack), thread, SampleKind::kCpu, kStart + at,
                {.count = count, .cpu_ns = count * kPeriod.count() + 1});
  }
};

std::string Hostile() {
  Made made(std::chrono::seconds(1));
  constexpr std::string_view kMarkup = "<script>window.harmed=1</script>";
  made.facts.name = "</script><script>window.harmed=2</script>";
  made.facts.command = {"sh", "-c", "echo \"<img src=x onerror=window.harmed=3>\" '&amp;'"};
  made.facts.host = "<b>host</b>";
  const Frame root = made.Call("main", "/srv/<i>.py");
  const ThreadIndex thread = made.Thread(100, "\"><script>window.harmed=4</script>");
  for (const std::string_view name :
       {kMarkup, std::string_view("\"quoted\" 'and' `so`"),
        std::string_view("left\u202etfel\u202c"),
        std::string_view("tab\tnewline\nbell\aescape\x1b[31m"), std::string_view("nul\0after", 9),
        std::string_view("\u05e9\u05dc\u05d5\u05dd"), std::string_view("broken\xff utf-8"),
        std::string_view(""), std::string_view("constructor"), std::string_view("__proto__")}) {
    made.Add({made.Call(name, "/srv/\"quoted\" <i>.py"), root}, thread, Nanoseconds(0), 10);
  }
  return EncodePage(made.profile, made.facts);
}

// A tree of `calls` at each level, `depth` levels deep, as paths of function numbers.
void EachStack(Made& made, Stack& path, int depth, int calls, const std::function<void()>& visit) {
  visit();
  if (depth == 0) return;
  for (int i = 0; i < calls; ++i) {
    const auto number = (path.size() * 131 + static_cast<std::size_t>(i) * 17) % 5000;
    path.insert(path.begin(),
                made.Call(fmt::format("package{}.module.function{}", number % 9, number),
                          fmt::format("/srv/package{}/module.py", number % 9),
                          static_cast<std::uint32_t>(number + 1)));
    EachStack(made, path, depth - 1, calls, visit);
    path.erase(path.begin());
  }
}

std::string Large() {
  Made made(std::chrono::seconds(60));
  std::minstd_rand random(1);  // NOLINT(cert-msc51-cpp): the same each time
  Stack path = {made.Call("main", "/srv/main.py")};
  EachStack(made, path, 9, 3, [&] {
    for (int i = 0; i < 2; ++i) {
      const int tid = static_cast<int>(random() % 4);
      made.Add(path, made.Thread(100 + tid, fmt::format("worker-{}", tid)),
               std::chrono::milliseconds(random() % 60'000),
               static_cast<std::int64_t>(random() % 5));
    }
  });
  return EncodePage(made.profile, made.facts);
}

std::string Hour() {
  Made made(std::chrono::hours(1));
  std::minstd_rand random(1);  // NOLINT(cert-msc51-cpp)
  std::vector<Stack> stacks;
  Stack path = {made.Call("main", "/srv/main.py")};
  EachStack(made, path, 7, 3, [&] { stacks.push_back(path); });
  std::geometric_distribution<std::size_t> which(0.002);  // some are hot
  for (std::int64_t tick = 0; tick < 360'000; ++tick) {
    for (int tid = 0; tid < 8; ++tid) {
      if (random() % 2 == 0) continue;
      const Stack& stack = stacks[which(random) % stacks.size()];
      const Nanoseconds at = kPeriod * tick;
      made.profile.Add(
          made.profile.InternStack(stack), made.Thread(100 + tid, "worker"), SampleKind::kCpu,
          kStart + at,
          {.count = 1, .cpu_ns = static_cast<std::int64_t>(9'000'000 + random() % 2'000'000)});
    }
  }
  return EncodePage(made.profile, made.facts);
}

void AddRun(Made& made, const std::map<std::string, std::int64_t>& counts) {
  const Frame root = made.Call("main", "/srv/main.py");
  const Frame serve = made.Call("serve", "/srv/main.py", 20);
  const ThreadIndex thread = made.Thread(100, "main");
  for (const auto& [name, count] : counts) {
    made.Add({made.Call(name, "/srv/work.py"), serve, root}, thread, Nanoseconds(0), count);
  }
}

std::string Diff() {
  Made before(std::chrono::seconds(10));
  Made after(std::chrono::seconds(20));
  AddRun(before, {{"parse", 400}, {"render", 300}, {"old_cache", 200}, {"log", 100}});
  AddRun(after, {{"parse", 1200}, {"render", 500}, {"new_cache", 100}, {"log", 200}});
  return EncodeDiffPage({before.profile, before.facts}, {after.profile, after.facts},
                        CompareBy::kCount);
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string_view, std::string (*)()> kinds = {
      {"hostile", Hostile}, {"large", Large}, {"hour", Hour}, {"diff", Diff}};
  const auto kind = argc == 3 ? kinds.find(argv[1]) : kinds.end();
  if (kind == kinds.end()) {
    std::fputs("usage: page_probe hostile|large|hour|diff FILE.html\n", stderr);
    return 2;
  }
  const auto written = WriteProfileFile(argv[2], kind->second());
  if (!written) std::fputs((written.error().Message() + "\n").c_str(), stderr);
  return written ? 0 : 1;
}
