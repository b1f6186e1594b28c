// SPDX-License-Identifier: Apache-2.0
// Burns CPU in ways that are hard to walk and says how much went where.
//
// usage: native_truth SECONDS PLUGIN_A PLUGIN_B
//
// Prints "ready" when it begins, and at the end one line of JSON: CPU nanoseconds of each function
// by the kernel's clock of the thread, and of the whole process. Between two looks at the clock lie
// some 10 ms of work, so that the system calls draw few of the stops. Its main thread ends early;
// the last of the others prints.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#if defined(__clang__)
#define KEEP __attribute__((noinline))
#else
#define KEEP __attribute__((noinline, noclone))
#endif

namespace {

constexpr std::uint64_t kBatch = 10'000'000;  // ns
constexpr int kDepth = 300;

std::mutex mutex;
std::map<std::string, std::uint64_t> spent;  // guarded
volatile std::uint64_t sink;
double seconds = 5;

std::uint64_t Clock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}
std::uint64_t ThreadTime() { return Clock(CLOCK_THREAD_CPUTIME_ID); }

void Add(const std::string& name, std::uint64_t time) {
  const std::lock_guard lock(mutex);
  spent[name] += time;
}

// Turns of the loops below in kBatch.
std::uint64_t batch_turns = 1'000'000;

}  // namespace

namespace truth {

// Compiled into whoever calls it.
__attribute__((always_inline)) inline std::uint64_t MixInlined(std::uint64_t value) {
  for (int i = 0; i < 8; ++i) {
    value ^= value >> 13;
    value *= 0x9e3779b97f4a7c15;
  }
  return value;
}

KEEP std::uint64_t CallsInlined(std::uint64_t turns) {
  std::uint64_t value = turns;
  for (std::uint64_t i = 0; i < turns; ++i) value = MixInlined(value + i);
  return value;
}

template <typename Number, int kShift>
KEEP Number Templated(std::uint64_t turns) {
  Number value = static_cast<Number>(turns);
  for (std::uint64_t i = 0; i < turns * 8; ++i) {
    value ^= value >> kShift;
    value *= static_cast<Number>(0x9e3779b97f4a7c15);
  }
  return value;
}

KEEP std::uint64_t Bottom(std::uint64_t turns) {
  std::uint64_t value = turns;
  for (std::uint64_t i = 0; i < turns * 8; ++i) {
    value += value >> 7;
    value *= 0xbf58476d1ce4e5b9;
  }
  return value;
}

KEEP std::uint64_t Recursive(int depth, std::uint64_t turns) {
  if (depth == 0) return Bottom(turns);
  const std::uint64_t value = Recursive(depth - 1, turns);
  asm volatile("" : : "r"(value));  // keeps it from becoming a loop
  return value + 1;
}

KEEP std::uint64_t InHandler(std::uint64_t turns) {
  std::uint64_t value = turns;
  for (std::uint64_t i = 0; i < turns * 8; ++i) {
    value -= value >> 9;
    value *= 0x94d049bb133111eb;
  }
  return value;
}

KEEP void OnSignal(int) { sink = sink + InHandler(batch_turns); }

KEEP void RaisesSignal() { raise(SIGUSR1); }

KEEP std::uint64_t SpinInThread(std::uint64_t turns) {
  std::uint64_t value = turns;
  for (std::uint64_t i = 0; i < turns * 8; ++i) {
    value ^= value << 11;
    value *= 0xff51afd7ed558ccd;
  }
  return value;
}

KEEP std::uint64_t ThreadInner(std::uint64_t turns) { return SpinInThread(turns) ^ 1; }
KEEP std::uint64_t ThreadOuter(std::uint64_t turns) { return ThreadInner(turns) ^ 2; }

}  // namespace truth

namespace {

// Runs `work` about `batches` times kBatch; its own time is what the clock says around all of it.
template <typename Work>
void Measure(const std::string& name, const Work& work) {
  const std::uint64_t begin = ThreadTime();
  work();
  Add(name, ThreadTime() - begin);
}

void Calibrate() {
  const std::uint64_t begin = ThreadTime();
  sink = sink + truth::CallsInlined(batch_turns);
  const std::uint64_t time = ThreadTime() - begin;
  if (time > 0) batch_turns = batch_turns * kBatch / time;
  Add("truth::CallsInlined", time);
}

class Plugins {
 public:
  Plugins(const char* a, const char* b) : paths_{a, b} {}
  // Loads and unloads both, one behind the other: they come to lie at the same address.
  void Run() {
    for (int i = 0; i < 2; ++i) {
      void* library = dlopen(paths_[static_cast<std::size_t>(i)], RTLD_NOW);
      if (library == nullptr) {
        std::fprintf(stderr, "%s\n", dlerror());
        std::exit(1);
      }
      const std::string name = i == 0 ? "PluginBurnA" : "PluginBurnB";
      const auto burn =
          reinterpret_cast<std::uint64_t (*)(std::uint64_t)>(dlsym(library, name.c_str()));
      addresses_[static_cast<std::size_t>(i)] = reinterpret_cast<std::uint64_t>(burn);
      Measure(name, [&] { sink = sink + burn(batch_turns); });
      dlclose(library);
    }
    if ((addresses_[0] ^ addresses_[1]) >> 12 == 0) ++same_;
    ++rounds_;
  }
  [[nodiscard]] int same() const { return same_; }
  [[nodiscard]] int rounds() const { return rounds_; }

 private:
  std::array<const char*, 2> paths_;
  std::array<std::uint64_t, 2> addresses_{};
  int same_ = 0;
  int rounds_ = 0;
};

void HandleOnOtherStack() {
  static std::array<char, 1 << 16> stack;
  stack_t other{};
  other.ss_sp = stack.data();
  other.ss_size = stack.size();
  sigaltstack(&other, nullptr);
  struct sigaction action{};
  action.sa_handler = truth::OnSignal;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, nullptr);
}

void Work(const char* a, const char* b) {
  HandleOnOtherStack();
  Plugins plugins(a, b);
  const std::uint64_t until = Clock(CLOCK_MONOTONIC) + static_cast<std::uint64_t>(seconds * 1e9);
  std::thread other([until] {
    while (Clock(CLOCK_MONOTONIC) < until) {
      Measure("truth::ThreadOuter", [] { sink = sink + truth::ThreadOuter(batch_turns); });
    }
  });
  while (Clock(CLOCK_MONOTONIC) < until) {
    Measure("truth::CallsInlined", [] { sink = sink + truth::CallsInlined(batch_turns); });
    Measure("truth::Templated",
            [] { sink = sink + truth::Templated<std::uint64_t, 7>(batch_turns); });
    Measure("truth::Recursive", [] { sink = sink + truth::Recursive(kDepth, batch_turns); });
    Measure("truth::RaisesSignal", [] { truth::RaisesSignal(); });
    plugins.Run();
  }
  other.join();
  std::string functions;
  for (const auto& [name, time] : spent) {
    functions += (functions.empty() ? "\"" : ", \"") + name + "\": " + std::to_string(time);
  }
  std::printf("{\"functions\": {%s}, \"same_place\": %d, \"rounds\": %d, \"process\": %llu}\n",
              functions.c_str(), plugins.same(), plugins.rounds(),
              static_cast<unsigned long long>(Clock(CLOCK_PROCESS_CPUTIME_ID)));
  std::fflush(stdout);
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  seconds = std::strtod(argv[1], nullptr);
  std::puts("ready");
  std::fflush(stdout);
  Calibrate();
  std::thread(Work, argv[2], argv[3]).detach();
  pthread_exit(nullptr);
}
