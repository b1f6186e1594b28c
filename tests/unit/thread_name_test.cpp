// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/thread_name.h"

#include <optional>
#include <string>

#include "tests/support/catch.h"

using namespace agent;

namespace {

class NamingSpy final : public Spy {
 public:
  [[nodiscard]] std::string_view Runtime() const override { return "fake"; }
  StackOutcome ReadStack(InnerTid, ReadMode) override { return StackOutcome::kNoFrames; }
  StackOutcome NameFrames(Stack&) override { return StackOutcome::kNoFrames; }
  std::optional<std::string> ThreadName(InnerTid, MonotonicTime) override {
    ++asked;
    return name;
  }
  std::optional<std::string> name;
  int asked = 0;
};

constexpr InnerTid kTid{7};

}  // namespace

TEST_CASE("Names of threads: the kernel's until the runtime has one") {
  NamingSpy spy;
  ThreadName name;
  MonotonicTime now{std::chrono::seconds(1)};
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(name.Follow(spy, kTid, now));
    CHECK(name.Or("comm") == "comm");
    now += std::chrono::milliseconds(1);
  }
  spy.name = "worker";
  CHECK(name.Follow(spy, kTid, now));
  CHECK(name.Or("comm") == "worker");
}

TEST_CASE("Names of threads: asked for seldom where there is none, and where it is known") {
  NamingSpy spy;
  ThreadName name;
  MonotonicTime now{std::chrono::seconds(1)};
  for (int i = 0; i < 10'000; ++i, now += std::chrono::milliseconds(1)) name.Follow(spy, kTid, now);
  CHECK(spy.asked > 100);
  CHECK(spy.asked < 150);
  spy.name = "worker";
  while (!name.Follow(spy, kTid, now)) now += std::chrono::milliseconds(1);
  spy.asked = 0;
  for (int i = 0; i < 9'000; ++i, now += std::chrono::milliseconds(1)) name.Follow(spy, kTid, now);
  CHECK(spy.asked == 0);
}

TEST_CASE("Names of threads: another one, none for a while, another program's") {
  NamingSpy spy;
  spy.name = "first";
  ThreadName name;
  MonotonicTime now{std::chrono::seconds(1)};
  CHECK(name.Follow(spy, kTid, now));
  spy.name = "second";
  CHECK_FALSE(name.Follow(spy, kTid, now));
  CHECK(name.Follow(spy, kTid, now + std::chrono::seconds(11)));
  spy.name = "third";
  name.AskSoon();
  CHECK(name.Follow(spy, kTid, now));
  spy.name.reset();  // it could not be read
  name.AskSoon();
  CHECK_FALSE(name.Follow(spy, kTid, now));
  CHECK(name.Or("comm") == "third");
  name.Forget();
  CHECK(name.Or("comm") == "comm");
}
