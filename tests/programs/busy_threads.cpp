// SPDX-License-Identifier: Apache-2.0
// usage: busy_threads THREADS BUSY SECONDS: so many threads, of which the first BUSY compute all
// the time, 20 calls deep, and the others sleep. Ends with a line of JSON: the work done, CPU
// seconds used by the process.
#include <pthread.h>
#include <time.h>

#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

namespace {

constexpr int kDepth = 20;
constexpr std::size_t kStackSize = 64u << 10;

std::atomic<bool> end = false;                      // NOLINT: read by all threads
std::atomic<std::uint64_t> work_done = 0;           // NOLINT
pthread_barrier_t start;                            // NOLINT
pthread_mutex_t never = PTHREAD_MUTEX_INITIALIZER;  // NOLINT

double Seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

[[gnu::noinline]] std::uint64_t Compute(int depth, std::uint64_t value) {
  if (depth > 0) return Compute(depth - 1, value) + 1;
  for (int i = 0; i < 2000; ++i) {
    value = value * 6364136223846793005u + 1442695040888963407u;
    asm volatile("" : "+r"(value));
  }
  return value;
}

void* Busy(void*) {
  pthread_barrier_wait(&start);
  std::uint64_t rounds = 0;
  std::uint64_t value = 1;
  while (!end.load(std::memory_order_relaxed)) {
    value = Compute(kDepth, value);
    ++rounds;
  }
  work_done += rounds;
  return nullptr;
}

void* Sleeper(void*) {
  pthread_barrier_wait(&start);
  pthread_mutex_lock(&never);
  pthread_mutex_unlock(&never);
  return nullptr;
}

int Number(std::string_view text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int count = Number(argv[1]);
  const int busy = Number(argv[2]);
  const int seconds = Number(argv[3]);
  pthread_mutex_lock(&never);
  pthread_barrier_init(&start, nullptr, static_cast<unsigned>(count) + 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackSize);
  std::vector<pthread_t> threads(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    if (pthread_create(&threads[static_cast<std::size_t>(i)], &attributes,
                       i < busy ? Busy : Sleeper, nullptr) != 0) {
      std::perror("busy_threads: a thread");
      return 1;
    }
  }
  pthread_barrier_wait(&start);
  const double began = Seconds(CLOCK_MONOTONIC);
  const timespec length{seconds, 0};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &length, nullptr);
  end = true;
  for (int i = 0; i < busy; ++i) pthread_join(threads[static_cast<std::size_t>(i)], nullptr);
  const double took = Seconds(CLOCK_MONOTONIC) - began;
  pthread_mutex_unlock(&never);
  for (int i = busy; i < count; ++i) pthread_join(threads[static_cast<std::size_t>(i)], nullptr);
  std::printf("{\"work\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n",
              static_cast<unsigned long long>(work_done), took, Seconds(CLOCK_PROCESS_CPUTIME_ID));
  return 0;
}
