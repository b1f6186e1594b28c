// SPDX-License-Identifier: Apache-2.0
// Two threads on one processor that hand it to each other by sched_yield, a millisecond each: where
// the one waits costs next to nothing.
//
//   usage: yields SECONDS
//
// At the end one line of JSON: CPU nanoseconds of the process.
#include <fmt/format.h>
#include <sched.h>
#include <time.h>

#include <cstdint>
#include <cstdlib>
#include <thread>

namespace {

std::int64_t Clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

[[gnu::noinline]] void Spin() {
  for (int i = 0; i < 1'000'000; ++i) asm volatile("");
}

void Work(std::int64_t until) {
  while (Clock(CLOCK_MONOTONIC) < until) {  // no system call
    Spin();
    ::sched_yield();
  }
}

}  // namespace

int main(int argc, char** argv) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  if (argc != 2 || ::sched_setaffinity(0, sizeof(one), &one) != 0) return 2;
  const std::int64_t until =
      Clock(CLOCK_MONOTONIC) + std::strtol(argv[1], nullptr, 10) * 1'000'000'000;
  std::thread other(Work, until);
  Work(until);
  other.join();
  fmt::print("{{\"process\": {}}}\n", Clock(CLOCK_PROCESS_CPUTIME_ID));
}
