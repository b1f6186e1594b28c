// SPDX-License-Identifier: Apache-2.0
// The floor of every sampler: a loop that only sleeps. usage: bare_wakeups RATE SECONDS; prints the
// part of a core.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <time.h>

#include <cstdlib>

namespace {

double Seconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
  const long period = 1'000'000'000L / std::atol(argv[1]);
  const double end = Seconds(CLOCK_MONOTONIC) + std::atof(argv[2]);
  const double begin = Seconds(CLOCK_MONOTONIC);
  while (Seconds(CLOCK_MONOTONIC) < end) {
    const timespec nap{0, period};
    ::nanosleep(&nap, nullptr);
  }
  fmt::print("{}\n", Seconds(CLOCK_PROCESS_CPUTIME_ID) / (Seconds(CLOCK_MONOTONIC) - begin));
  return 0;
}
