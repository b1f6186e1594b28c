// SPDX-License-Identifier: Apache-2.0
// usage: exec_storm ROUNDS THREADS: a process whose threads compute while one of them executes the
// program anew, ROUNDS times. The kernel ends the others for each exec, and waits until they are
// reaped.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

[[noreturn]] void Compute() {
  volatile unsigned value = 0;
  while (true) value = value + 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int rounds = std::atoi(argv[1]);
  const int count = std::atoi(argv[2]);
  if (rounds == 0) {
    std::puts("done");
    return 0;
  }
  for (int i = 0; i < count; ++i) std::thread(Compute).detach();
  std::thread([&] {
    // Long enough that each thread is stopped a few times.
    volatile int left_to_do = 4'000'000;
    while (left_to_do > 0) left_to_do = left_to_do - 1;
    const std::string left = std::to_string(rounds - 1);
    ::execl("/proc/self/exe", argv[0], left.c_str(), argv[2], static_cast<char*>(nullptr));
    std::perror("exec_storm: exec");
    std::exit(1);
  }).detach();
  Compute();
}
