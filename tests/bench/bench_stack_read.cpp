// SPDX-License-Identifier: Apache-2.0
// What one look at a Python stack costs, and how often it must be taken again.
// usage: bench_stack_read PID [LOOKS]    (the main thread of a running Python program)
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "agent/base/clock.h"
#include "agent/process/live_process.h"
#include "agent/profile/frame.h"
#include "spies/python/python_spy.h"

int main(int argc, char** argv) {
  using namespace agent;
  if (argc < 2) return 2;
  const pid_t pid = std::atoi(argv[1]);
  const int looks = argc > 2 ? std::atoi(argv[2]) : 100000;
  FunctionTable functions;
  python::PythonSpyFactory factory(functions);
  LiveProcess process{Pid{pid}};
  auto spy = factory.Attach(process);
  if (!spy) {
    fmt::print("refused: {}\n", spy.error().reason);
    return 1;
  }
  const SystemClock clock;
  std::vector<std::int64_t> read_ns;
  std::vector<std::int64_t> name_ns;
  std::array<std::size_t, 9> outcomes{};
  std::size_t unnamed = 0;
  std::size_t frames = 0;
  Stack stack;
  for (int i = 0; i < looks; ++i) {
    const MonotonicTime begin = clock.Now();
    const StackOutcome outcome = (*spy)->ReadStack(InnerTid{pid}, ReadMode::kRunning);
    const MonotonicTime middle = clock.Now();
    ++outcomes[static_cast<std::size_t>(outcome)];
    if (outcome != StackOutcome::kStack) continue;
    if ((*spy)->NameFrames(stack) != StackOutcome::kStack) ++unnamed;
    read_ns.push_back((middle - begin).count());
    name_ns.push_back((clock.Now() - middle).count());
    frames = stack.size();
  }
  // As the loop does it: a burst of quick looks behind each reading, for half a millisecond.
  std::int64_t quick = 0;
  std::int64_t sure = 0;
  std::int64_t bursts = 0;
  const MonotonicTime quick_begin = clock.Now();
  while (quick < looks && clock.Now() - quick_begin < std::chrono::seconds(5)) {
    if ((*spy)->ReadStack(InnerTid{pid}, ReadMode::kRunning) != StackOutcome::kStack) continue;
    if ((*spy)->NameFrames(stack) != StackOutcome::kStack) continue;
    QuickLooks* burst = (*spy)->BeginBurst(InnerTid{pid}, stack);
    if (burst == nullptr) continue;
    const MonotonicTime end = clock.Now() + std::chrono::microseconds(500);
    while (clock.Now() < end && burst->Look()) ++quick;
    sure += static_cast<std::int64_t>(burst->End());
    ++bursts;
  }
  const double quick_us = static_cast<double>((clock.Now() - quick_begin).count()) / 1000;
  std::ranges::sort(read_ns);
  std::ranges::sort(name_ns);
  const auto count = [&](StackOutcome outcome) {
    return outcomes[static_cast<std::size_t>(outcome)];
  };
  fmt::print(
      "{}: stack {}, truncated {}, no frames {}, torn {}, unreadable {}, gone {}, unnamed {}\n",
      (*spy)->Runtime(), count(StackOutcome::kStack), count(StackOutcome::kTruncated),
      count(StackOutcome::kNoFrames), count(StackOutcome::kTorn), count(StackOutcome::kUnreadable),
      count(StackOutcome::kGone), unnamed);
  if (read_ns.empty()) return 1;
  const auto at = [](const std::vector<std::int64_t>& sorted, double share) {
    return static_cast<double>(
               sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))]) /
           1000;
  };
  fmt::print(
      "read: p50 {:.1f} us, p99 {:.1f} us; name: p50 {:.1f} us, p99 {:.1f} us; last depth {}\n",
      at(read_ns, 0.5), at(read_ns, 0.99), at(name_ns, 0.5), at(name_ns, 0.99), frames);
  fmt::print("quick looks: {} in {} bursts, {} of them sure; {:.2f} us for each sample\n", quick,
             bursts, sure, quick_us / static_cast<double>(sure + bursts));
  for (const Frame& frame : stack) {
    fmt::print("  {} ({}:{})\n", frame.function->name, frame.function->file, frame.line);
  }
  return 0;
}
