// SPDX-License-Identifier: Apache-2.0
// Sends made-up windows by the agent's uploader and prints its counters as JSON.
//
// usage: upload_probe ADDRESS [WINDOWS [STACKS [INTERVAL_MS [FINISH_MS [AGE_S [QUEUE_BYTES]]]]]]
//
// Each window has STACKS stacks (main;work_i) of 10 samples, and starts AGE_S seconds ago. Also
// prints how long Finish took.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/log.h"
#include "agent/profile/profile.h"
#include "uploader/labels.h"
#include "uploader/uploader.h"

namespace {

using namespace agent;

Profile MakeWindow(FunctionTable& functions, int stacks, Nanoseconds age) {
  Profile window(std::chrono::system_clock::now() - age, std::chrono::milliseconds(100));
  window.set_period(std::chrono::milliseconds(10));
  window.set_duration(std::chrono::seconds(10));
  const ThreadIndex thread = window.InternThread(
      {.pid = Pid{1}, .tid = Tid{1}, .process_name = "probe", .thread_name = "probe"});
  const Frame main{.function = functions.Intern("main", "/srv/app.py", 1), .line = 3};
  for (int i = 0; i < stacks; ++i) {
    const std::string name = "work_" + std::to_string(i);
    const Frame leaf{.function = functions.Intern(name, "/srv/app.py", 10), .line = 12};
    const std::vector<Frame> stack = {leaf, main};
    window.Add(window.InternStack(stack), thread, SampleKind::kCpu, window.start(),
               {.count = 10, .cpu_ns = 100'000'000});
  }
  return window;
}

int Number(int argc, char** argv, int index, int otherwise) {
  return argc > index ? std::atoi(argv[index]) : otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  SetLogLevel(LogLevel::kInfo);
  UploadOptions options{.server_address = argv[1],
                        .labels = MakeLabels("probe.service", {{"region", "a=b"}}, "probe-host")};
  const int windows = Number(argc, argv, 2, 1);
  const int stacks = Number(argc, argv, 3, 3);
  const std::chrono::milliseconds interval(Number(argc, argv, 4, 100));
  const std::chrono::milliseconds finish(Number(argc, argv, 5, 5000));
  const std::chrono::seconds age(Number(argc, argv, 6, 10));
  if (argc > 7) options.queue_bytes = static_cast<std::size_t>(std::atoll(argv[7]));
  FunctionTable functions;
  const auto uploader = Uploader::Start(std::move(options));
  for (int i = 0; i < windows; ++i) {
    uploader->Write(MakeWindow(functions, stacks, age));
    std::this_thread::sleep_for(interval);
  }
  const auto before = std::chrono::steady_clock::now();
  const UploadCounters counters = uploader->Finish(before + finish);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
  const nlohmann::json result = {
      {"windows_sent", counters.windows_sent}, {"windows_retried", counters.windows_retried},
      {"windows_lost", counters.windows_lost}, {"samples_sent", counters.samples_sent},
      {"samples_lost", counters.samples_lost}, {"last_error", counters.last_error},
      {"finish_seconds", took.count()}};
  std::puts(result.dump().c_str());
  std::fflush(stdout);
  ::_exit(0);  // as Finish demands
}
