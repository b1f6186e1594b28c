// SPDX-License-Identifier: Apache-2.0
// Writes the files of a run that no program would give so easily, each in the format of its name.
//
// usage: page_probe hostile|tree|large|hour FILE...
//        page_probe diff FILE.html
//   hostile  names, threads and a command with markup, quotes, controls and bidirectional marks
//   tree     2,186 nodes, in four threads over a minute
//   large    the same with 59,048
//   hour     an hour at 100 Hz: eight threads, half of them busy, 4,000 different stacks
//   diff     two runs: one function became slower, one is new, one is gone
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
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

std::unique_ptr<Made> Hostile() {
  auto owned = std::make_unique<Made>(std::chrono::seconds(1));
  Made& made = *owned;
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
  return owned;
}

// All stacks of a tree of three calls in each function, `depth` levels deep.
void EachStack(Made& made, Stack& path, int depth, std::size_t seed,
               const std::function<void()>& visit) {
  visit();
  if (depth == 0) return;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::size_t number = (seed * 31 + i * 17 + path.size()) % 5000;
    path.insert(path.begin(),
                made.Call(fmt::format("package{}.module.function{}", number % 9, number),
                          fmt::format("/srv/package{}/module.py", number % 9),
                          static_cast<std::uint32_t>(number + 1)));
    EachStack(made, path, depth - 1, number, visit);
    path.erase(path.begin());
  }
}

std::unique_ptr<Made> Tree(int depth) {
  auto owned = std::make_unique<Made>(std::chrono::seconds(60));
  Made& made = *owned;
  std::minstd_rand random(1);  // NOLINT(cert-msc51-cpp): the same each time
  for (const std::size_t root : {1u, 2u}) {
    Stack path = {made.Call("main", "/srv/main.py")};
    if (root == 2) path.insert(path.begin(), made.Call("background", "/srv/main.py", 40));
    EachStack(made, path, depth, root, [&] {
      for (int i = 0; i < 2; ++i) {
        const int tid = static_cast<int>(random() % 4);
        made.Add(path, made.Thread(100 + tid, fmt::format("worker-{}", tid)),
                 std::chrono::milliseconds(random() % 60'000),
                 static_cast<std::int64_t>(random() % 5));
      }
    });
  }
  return owned;
}

std::unique_ptr<Made> Hour() {
  auto owned = std::make_unique<Made>(std::chrono::hours(1));
  Made& made = *owned;
  std::minstd_rand random(1);  // NOLINT(cert-msc51-cpp)
  std::vector<Stack> stacks;
  Stack path = {made.Call("main", "/srv/main.py")};
  EachStack(made, path, 7, 1, [&] { stacks.push_back(path); });
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
  return owned;
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
  const std::map<std::string_view, std::unique_ptr<Made> (*)()> kinds = {
      {"hostile", Hostile},
      {"tree", [] { return Tree(6); }},
      {"large", [] { return Tree(9); }},
      {"hour", Hour}};
  const std::string_view kind = argc > 2 ? argv[1] : "";
  Result<void> written;
  if (kind == "diff") {
    written = WriteProfileFile(argv[2], Diff());
  } else if (const auto maker = kinds.find(kind); maker != kinds.end()) {
    const std::unique_ptr<Made> made = maker->second();
    for (int i = 2; i < argc && written; ++i) {
      written = WriteRunFile(argv[i], made->profile, made->facts);
    }
  } else {
    std::fputs("usage: page_probe hostile|tree|large|hour FILE..., page_probe diff FILE.html\n",
               stderr);
    return 2;
  }
  if (!written) std::fputs((written.error().Message() + "\n").c_str(), stderr);
  return written ? 0 : 1;
}
