// SPDX-License-Identifier: Apache-2.0
// The supervision of `agent exec` and `agent connect` around a sampler that samples nothing.
//
//   launch_probe exec PROGRAM [ARGS...]
//   launch_probe connect PID
// (-o FILE and --no-logging are taken as the agent takes them, and mean nothing here.)
//
// PROBE_SAMPLER says what the sampler does once the program runs:
//   wait (default)  waits for orders      hold, pend  claims to hold a thread, or to wait for one,
//   exitN           returns N             and hangs
//   hang            takes no order        held        holds, and moves on every 50 ms
//   late            keeps the program from starting until it is told to finish
// PROBE_LOG names a file that takes one line for each thing that the sampler hears of.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/process/supervision.h"

namespace {

std::string Setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void Log(const std::string& line) {
  static const std::string path = Setting("PROBE_LOG");
  if (path.empty()) return;
  if (std::FILE* file = std::fopen(path.c_str(), "ae")) {
    std::fprintf(file, "%s\n", line.c_str());
    std::fclose(file);
  }
}

void Hang() {
  while (true) ::pause();
}

std::int64_t Now() { return agent::SystemClock().Now().time_since_epoch().count(); }

int WaitForOrders(const agent::SamplerStart& start, bool holding) {
  while (true) {
    pollfd orders{start.orders, POLLIN, 0};
    if (holding) start.page->holding_since = Now();
    if (::poll(&orders, 1, holding ? 50 : -1) == 0) continue;
    start.page->holding_since = 0;
    agent::KeeperOrder order;
    if (::recv(start.orders, &order, sizeof(order), 0) != sizeof(order)) {
      Log("keeper gone");
      return 0;
    }
    if (order.kind == agent::KeeperOrder::Kind::kFinish) {
      Log("finish " + std::to_string(order.tree_cpu_ns));
      return 0;
    }
    Log("flush");
  }
}

int RunSampler(const agent::SamplerStart& start) {
  Log("start " + std::to_string(::getpid()) + " " +
      std::to_string(static_cast<pid_t>(start.target)) + " " +
      std::to_string(static_cast<pid_t>(start.launcher)) + (start.restarted ? " restarted" : ""));
  const std::string mode = Setting("PROBE_SAMPLER");
  if (start.go >= 0 && mode != "late") ::close(start.go);
  start.page->samples_taken = 5;
  start.page->samples_delivered = 2;
  if (mode.starts_with("exit")) return std::atoi(mode.c_str() + 4);
  if (!start.restarted) {
    if (mode == "hold") start.page->holding_since = Now();
    if (mode == "pend") start.page->pending_since = Now();
    if (mode == "hold" || mode == "pend" || mode == "hang") Hang();
  }
  return WaitForOrders(start, mode == "held");
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  while (arguments.size() > 1 && arguments[1].starts_with('-')) {
    const std::ptrdiff_t words = arguments[1] == "-o" ? 2 : 1;
    arguments.erase(arguments.begin() + 1, arguments.begin() + 1 + words);
  }
  if (arguments.size() >= 2 && arguments[0] == "exec") {
    agent::RunLaunched({arguments.begin() + 1, arguments.end()}, {}, RunSampler);
  }
  if (arguments.size() == 2 && arguments[0] == "connect") {
    agent::RunConnected(agent::Pid{std::atoi(arguments[1].c_str())}, std::nullopt, RunSampler);
  }
  std::fputs("usage: launch_probe exec PROGRAM [ARGS...] | connect PID\n", stderr);
  return 2;
}
