// SPDX-License-Identifier: Apache-2.0
// Calls the kernel every few microseconds: a stop that comes late finds it at the end of such a
// call.
//
//   usage: asks SECONDS
//
// At the end one line of JSON: which share of its time Think() takes, measured behind that.
#include <fmt/format.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace {

std::int64_t Now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);  // no system call
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

void Spin(int rounds) {
  for (int i = 0; i < rounds; ++i) asm volatile("");
}

[[gnu::noinline]] void Think() {
  Spin(10'000);
  asm volatile("");  // no tail call
}

[[gnu::noinline]] void Ask() {
  ::syscall(SYS_getppid);
  Spin(3'000);
  asm volatile("");
}

double ShareOfThink() {
  std::int64_t think = 0;
  std::int64_t both = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t begin = Now();
    for (int j = 0; j < 20; ++j) Think();
    const std::int64_t middle = Now();
    for (int j = 0; j < 20; ++j) {
      Think();
      Ask();
    }
    both += Now() - middle;
    think += middle - begin;
  }
  return static_cast<double>(think) / static_cast<double>(both);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::int64_t until = Now() + std::strtol(argv[1], nullptr, 10) * 1'000'000'000;
  while (Now() < until) {
    for (int i = 0; i < 50; ++i) {
      Think();
      Ask();
    }
  }
  fmt::print("{{\"think\": {}}}\n", ShareOfThink());
}
