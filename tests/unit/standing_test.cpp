// SPDX-License-Identifier: Apache-2.0
// What makes a thread stand still without a stop: the seat, and the pacers.
#include <sched.h>

#include <thread>

#include "agent/base/scheduling.h"
#include "agent/sampling/cpu_seat.h"
#include "agent/sampling/pacers.h"
#include "tests/support/catch.h"

using namespace agent;

namespace {

cpu_set_t OwnCpus() {
  cpu_set_t set;
  REQUIRE(::sched_getaffinity(0, sizeof(set), &set) == 0);
  return set;
}

int FirstOf(const cpu_set_t& set) {
  int cpu = 0;
  while (CPU_ISSET(cpu, &set) == 0) ++cpu;
  return cpu;
}

// In a thread of its own, which may be bound.
template <typename Body>
void InThread(const Body& body) {
  std::thread(body).join();
}

}  // namespace

TEST_CASE("seat: on the CPU that is wanted, kept for a while, then on all") {
  InThread([] {
    const cpu_set_t all = OwnCpus();
    const int cpu = FirstOf(all);
    const MonotonicTime start = SystemClock().Now();
    CpuSeat seat;
    CHECK(seat.cpu() == -1);
    seat.Want(-1);  // not known
    seat.Settle(start);
    CHECK(seat.cpu() == -1);
    seat.Want(cpu);
    seat.Settle(start);
    CHECK(seat.cpu() == cpu);
    CHECK(::sched_getcpu() == cpu);
    CHECK(CPU_COUNT(&all) >= 1);
    seat.Settle(start + std::chrono::milliseconds(900));
    CHECK(seat.cpu() == cpu);
    SECTION("not wanted any more") { seat.Settle(start + std::chrono::milliseconds(1100)); }
    SECTION("left for other work") { seat.Leave(); }
    CHECK(seat.cpu() == -1);
    const cpu_set_t now = OwnCpus();
    CHECK(CPU_EQUAL(&now, &all));
  });
}

TEST_CASE("seat: it moves neither while it is wanted nor too soon") {
  InThread([] {
    const cpu_set_t all = OwnCpus();
    if (CPU_COUNT(&all) < 2) {
      WARN("SKIPPED: one CPU only");
      return;
    }
    const int first = FirstOf(all);
    cpu_set_t rest = all;
    CPU_CLR(first, &rest);
    const int second = FirstOf(rest);
    MonotonicTime now = SystemClock().Now();
    CpuSeat seat;
    seat.Want(first);
    seat.Settle(now);
    seat.Want(second);
    seat.Want(first);
    seat.Settle(now += std::chrono::seconds(1));
    CHECK(seat.cpu() == first);
    seat.Want(second);
    seat.Settle(now);
    CHECK(seat.cpu() == second);
    CHECK(::sched_getcpu() == second);
    seat.Want(first);
    seat.Settle(now + std::chrono::milliseconds(10));
    CHECK(seat.cpu() == second);
    UseAllCpus();
  });
}

TEST_CASE("seat: a CPU that is not ours is none") {
  InThread([] {
    CpuSeat seat;
    seat.Want(CPU_SETSIZE);
    seat.Settle(SystemClock().Now());
    CHECK(seat.cpu() == -1);
  });
}

TEST_CASE("pacer: it has its CPU from the tick on, until it is released or long enough") {
  const cpu_set_t all = OwnCpus();
  const SystemClock clock;
  Pacer pacer(FirstOf(all));
  // Others may have the CPU at a tick; then it is too late and does nothing.
  const auto hold = [&](MonotonicTime& tick) {
    const MonotonicTime give_up = clock.Now() + std::chrono::seconds(10);
    while (clock.Now() < give_up) {
      tick = clock.Now() + std::chrono::milliseconds(2);
      pacer.SetNext(tick);
      if (const auto since = pacer.AwaitHold(tick, tick + Pacer::kLongestHold)) return since;
    }
    return std::optional<MonotonicTime>();
  };
  MonotonicTime tick;
  const auto since = hold(tick);
  REQUIRE(since);
  CHECK(*since >= tick);
  CHECK(*since <= tick + Pacer::kLongestHold);
  SECTION("released") {
    pacer.Release(tick);
    CHECK_FALSE(pacer.AwaitHold(tick, clock.Now() + std::chrono::seconds(1)));
  }
  SECTION("nobody releases it") {
    // It is there for the next tick, so it has let go of this one.
    MonotonicTime next;
    CHECK(hold(next));
    CHECK(next > tick);
  }
}

TEST_CASE("pacers: none for the CPU that we are on, where the thread waits for us") {
  InThread([] {
    const int cpu = FirstOf(OwnCpus());
    REQUIRE(BindToCpu(cpu));
    Pacers pacers;
    const MonotonicTime now = SystemClock().Now();
    pacers.BeginTick(now, now + std::chrono::milliseconds(1), now);
    CHECK(pacers.Hold(cpu) == now);
    CHECK_FALSE(pacers.Hold(-1));
    pacers.EndTick();
    CHECK(pacers.lead() == Nanoseconds(0));
  });
}
