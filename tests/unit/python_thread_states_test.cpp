// SPDX-License-Identifier: Apache-2.0
#include "spies/python/thread_states.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kRuntime = 0x10000;
constexpr std::uint64_t kInterpreter = 0x20000;
constexpr std::uint64_t kThread = 0x30000;
constexpr std::uint64_t kPthread = 0x40000;
constexpr std::uint64_t kIdOfGlibc = 720;
const Layout& kLayout = *TableLayout(Version{0x030c01f0});

// CPython 3.12 with one thread, which says that it is 352.
struct Fixture {
  FakeMemory memory;
  ThreadStates threads{memory, kLayout, RemoteAddress(kRuntime)};

  Fixture() {
    memory.Put(kRuntime + kLayout.runtime.interpreters_head, kInterpreter);
    memory.Put(kInterpreter + kLayout.interpreter.threads_head, kThread);
    memory.Put(kInterpreter + kLayout.gil.interpreter_gil, std::uint64_t{0x50000});
    memory.Put(kInterpreter + kLayout.gc.interpreter_collecting + 16, std::uint64_t{0x60000});
    memory.Put(kThread + kLayout.thread.interp, kInterpreter);
    memory.Put(kThread + kLayout.thread.native_thread_id, std::uint64_t{352});
    memory.Put(kThread + kLayout.thread.thread_id, kPthread);
    memory.Put(kPthread + 1024, std::uint64_t{0});
  }
  void SetLibcsId(std::int32_t id) { memory.Put(kPthread + kIdOfGlibc, id); }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a Python thread is known by the id in its state") {
  SetLibcsId(352);
  REQUIRE(threads.Refresh());
  const auto* states = threads.Find(InnerTid{352});
  REQUIRE(states != nullptr);
  CHECK(states->front().native_id == InnerTid{352});
  CHECK(threads.Find(InnerTid{363}) == nullptr);
}

TEST_CASE_METHOD(Fixture, "a thread whose state has its parent's id is known by libc's") {
  SetLibcsId(363);
  REQUIRE(threads.Refresh());
  CHECK(threads.Find(InnerTid{364}) == nullptr);
  for (int time = 0; time < 2; ++time) {
    const auto* states = threads.Find(InnerTid{363});
    REQUIRE(states != nullptr);
    CHECK(states->front().address == RemoteAddress(kThread));
    CHECK(states->front().native_id == InnerTid{352});
    REQUIRE(threads.Refresh());
  }
}

TEST_CASE_METHOD(Fixture, "a thread without Python is not taken for one that Python has") {
  SetLibcsId(352);
  REQUIRE(threads.Refresh());
  CHECK(threads.Find(InnerTid{363}) == nullptr);
  CHECK(threads.Find(InnerTid{352}) != nullptr);
}

TEST_CASE_METHOD(Fixture, "rings of thread states and of interpreters come to an end") {
  memory.Put(kThread + kLayout.thread.next, kThread);
  memory.Put(kInterpreter + kLayout.interpreter.next, kInterpreter);
  memory.reads = 0;
  const auto refreshed = threads.Refresh();
  REQUIRE_FALSE(refreshed);
  CHECK(refreshed.error().Message().contains("a ring of thread states"));
  CHECK(memory.reads < 2000);
  memory.Put(kInterpreter + kLayout.interpreter.next, std::uint64_t{0});
  constexpr std::uint64_t kMore = 0x31000;
  for (std::uint64_t i = 0; i < 100; ++i) {  // a tail, and a ring behind it
    const std::uint64_t state = kMore + i * 0x400;
    memory.Put(state + kLayout.thread.interp, kInterpreter);
    memory.Put(state + kLayout.thread.native_thread_id, 1000 + i);
    memory.Put(state + kLayout.thread.thread_id, kPthread);
    memory.Put(state + kLayout.thread.next,
               i == 99 ? kMore + std::uint64_t{50} * 0x400 : state + 0x400);
  }
  memory.Put(kThread + kLayout.thread.next, kMore);
  memory.reads = 0;
  CHECK_FALSE(threads.Refresh());
  CHECK(memory.reads < 1000);
  CHECK(threads.Find(InnerTid{352}) != nullptr);
}
