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
