// SPDX-License-Identifier: Apache-2.0
#include "agent/profile/profile.h"

#include <algorithm>

#include "tests/support/catch.h"

using namespace agent;

namespace {

constexpr Nanoseconds kSlice = std::chrono::milliseconds(100);
const WallTime kStart{std::chrono::seconds(1000)};

struct Fixture {
  FunctionTable functions;
  Profile profile{kStart, kSlice};
  Frame main{.function = functions.Intern("main", "/a.py", 1), .line = 3};
  Frame work{.function = functions.Intern("work", "/a.py", 10), .line = 12};
  ThreadInfo thread{.pid = Pid{1}, .tid = Tid{2}, .process_name = "app", .thread_name = "t"};

  void Add(std::span<const Frame> frames, Nanoseconds at, std::int64_t cpu_ns) {
    profile.Add(profile.InternStack(frames), profile.InternThread(thread), SampleKind::kCpu,
                kStart + at, {.count = 1, .cpu_ns = cpu_ns});
  }
};

}  // namespace

TEST_CASE("functions are interned once, and hostile bytes become valid UTF-8") {
  FunctionTable functions;
  const Function* first = functions.Intern("f", "/a.py", 1);
  CHECK(functions.Intern("f", "/a.py", 1) == first);
  CHECK(functions.Intern("f", "/b.py", 1) != first);
  CHECK(functions.Intern("f", "/a.py", 2) != first);
  CHECK(functions.Intern("a\xff\xc0\x80", "", 0)->name == "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("a program that invents names for ever does not fill our memory") {
  FunctionTable functions;
  const Function* last = nullptr;
  for (int i = 0; i < 20'000; ++i)
    last = functions.Intern(std::string(4000, 'x') + std::to_string(i), "/a", 1);
  CHECK(last->name == "[too many functions]");
  CHECK(functions.Intern(std::string(4000, 'x') + "0", "/a", 1)->name != "[too many functions]");
}

TEST_CASE_METHOD(Fixture, "samples of one stack, thread and slice are one") {
  const std::vector<Frame> stack = {work, main};
  Add(stack, Nanoseconds(0), 10);
  Add(stack, kSlice / 2, 20);
  Add(stack, kSlice, 30);
  Add({&main, 1}, Nanoseconds(0), 5);
  CHECK(profile.Entries().size() == 3);
  CHECK(profile.Total().count == 4);
  CHECK(profile.Total().cpu_ns == 65);
}

TEST_CASE_METHOD(Fixture, "a sample from before the window counts in its first slice") {
  Add({&main, 1}, -kSlice, 5);
  REQUIRE(profile.Entries().size() == 1);
  CHECK(profile.Entries()[0].key.slice == 0);
}

TEST_CASE_METHOD(Fixture, "a long run has at most 2,000 slices") {
  for (int i = 0; i < 10'000; ++i) Add({&main, 1}, kSlice * i, 1);
  CHECK(profile.slice_length() == kSlice * 8);
  CHECK(profile.Entries().size() == 1250);
  CHECK(profile.Total().cpu_ns == 10'000);
}

TEST_CASE_METHOD(Fixture, "merging keeps times, threads and losses") {
  Add({&main, 1}, Nanoseconds(0), 1);
  Profile later(kStart + kSlice * 10, kSlice);
  later.Add(later.InternStack({&main, 1}), later.InternThread(thread), SampleKind::kCpu,
            later.start() + kSlice * 2, {.count = 1, .cpu_ns = 7});
  later.losses().torn = 3;
  profile.Merge(later);
  auto entries = profile.Entries();
  std::ranges::sort(entries, {}, [](const Profile::Entry& entry) { return entry.key.slice; });
  REQUIRE(entries.size() == 2);
  CHECK(entries[1].key.slice == 12);
  CHECK(entries[1].key.stack == entries[0].key.stack);
  CHECK(profile.losses().LostSamples() == 3);
}

TEST_CASE_METHOD(Fixture, "a full profile folds its cheapest stacks, and loses no CPU time") {
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    const std::vector<Frame> stack = {{.function = work.function, .line = i}, main};
    Add(stack, Nanoseconds(0), i < 10 ? 1'000'000 : 1);
  }
  const SampleValue before = profile.Total();
  const Function* folded = functions.Marker("[other stacks]");
  profile.Shrink(400'000, folded);
  CHECK(profile.ApproximateBytes() <= 400'000);
  CHECK(profile.Total().cpu_ns == before.cpu_ns);
  CHECK(profile.Total().count == before.count);
  CHECK(profile.losses().folded > 10'000);
  std::int64_t expensive = 0;
  for (const Profile::Entry& entry : profile.Entries()) {
    if (entry.value.cpu_ns == 1'000'000) ++expensive;
  }
  CHECK(expensive == 10);
}

TEST_CASE_METHOD(Fixture, "a program that starts threads for ever does not fill the profile") {
  for (int i = 0; i < 30'000; ++i) {
    thread.tid = Tid{i};
    Add({&main, 1}, Nanoseconds(0), 1);
  }
  profile.Shrink(1u << 20, functions.Marker("[other stacks]"));
  CHECK(profile.ApproximateBytes() <= 1u << 20);
  CHECK(profile.Total().cpu_ns == 30'000);
}
