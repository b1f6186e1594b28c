// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/burst.h"

#include <algorithm>
#include <vector>

#include "tests/support/catch.h"

using namespace agent;
using std::chrono::microseconds;

namespace {

// Gives the numbers that it was told; stack n has n + 1 frames.
class ScriptedLooks final : public QuickLooks {
 public:
  explicit ScriptedLooks(const Function* function) : function_(function) {}
  std::optional<std::uint32_t> Look() override {
    if (next >= numbers.size()) return std::nullopt;
    return numbers[next++];
  }
  std::size_t End() override { return std::min(next, sure); }
  void StackOf(std::uint32_t number, Stack& stack) const override {
    stack.assign(number + 1, Frame{.function = function_, .line = number});
  }
  [[nodiscard]] std::uint64_t generation() const override { return 0; }

  std::vector<std::uint32_t> numbers;
  std::size_t next = 0;
  std::size_t sure = 1000;

 private:
  const Function* function_;
};

struct Fixture {
  Function function{.name = "f", .file = "f.py"};
  ScriptedLooks looks{&function};
  Profile window{WallTime{}, Nanoseconds(0)};
  Burst burst;
  MonotonicTime now{};

  // As many looks as it allows, 2 us apart.
  std::size_t LookAll() {
    burst.Begin(looks, now);
    std::size_t count = 0;
    while (burst.Look(now += microseconds(2))) ++count;
    return count;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture,
                 "burst: looks are summed by stack, each for the time since the one before") {
  looks.numbers = {0, 1, 0, 0};
  CHECK(LookAll() == 4);
  burst.End(window);
  const auto sums = burst.Take();
  REQUIRE(sums.size() == 2);
  CHECK(sums[0].count == 3);
  CHECK(sums[0].time == microseconds(6));
  CHECK(sums[1].count == 1);
  CHECK(window.StackFrames(sums[1].stack).size() == 2);
  CHECK(burst.empty());  // once only
}

TEST_CASE_METHOD(
    Fixture, "burst: doubtful looks are left out, and the time goes on behind the last sure one") {
  looks.numbers = {0, 0, 1, 1};
  looks.sure = 2;
  LookAll();
  burst.End(window);
  CHECK(burst.last() == MonotonicTime{} + microseconds(4));
  const auto sums = burst.Take();
  REQUIRE(sums.size() == 1);
  CHECK(sums[0].count == 2);
}

TEST_CASE_METHOD(Fixture, "burst: after one that was lost the next is shorter, else longer") {
  looks.numbers.assign(100'000, 0);
  const std::size_t first = LookAll();
  burst.End(window);
  CHECK(burst.Take().size() == 1);
  const std::size_t second = LookAll();
  CHECK(second > first + first / 2);
  burst.End(window);
  burst.Drop();
  CHECK(burst.empty());
  CHECK(LookAll() < second / 2);
}

TEST_CASE_METHOD(Fixture, "burst: stacks follow into another window") {
  looks.numbers = {2};
  LookAll();
  burst.End(window);
  Profile next(WallTime{}, Nanoseconds(0));
  burst.ForgetIds();
  looks.numbers = {2, 2};
  LookAll();
  burst.End(next);
  const auto sums = burst.Take();
  REQUIRE(sums.size() == 1);
  CHECK(next.StackFrames(sums[0].stack).size() == 3);
}
