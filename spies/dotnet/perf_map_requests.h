// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/process/task_stat.h"
#include "spies/dotnet/diagnostics_socket.h"
#include "spies/dotnet/runtime.h"

namespace agent::dotnet {

/// Why a runtime must not be asked for a perf map; empty: it may be.
[[nodiscard]] std::string_view WhyUnasked(const RuntimeLocation& runtime);

/// Has runtimes that the spy cannot read write a perf map, by which the symbolizer names what they
/// compile. On a thread of its own, which begins with the first of them.
class PerfMapRequests {
 public:
  PerfMapRequests() = default;
  /// Runtimes that were asked stop writing. Takes 300 ms at most.
  ~PerfMapRequests() = default;
  PerfMapRequests(const PerfMapRequests&) = delete;
  PerfMapRequests& operator=(const PerfMapRequests&) = delete;

  /// Says in one line how the process is shown, once that is known: `why` its runtime is not read,
  /// and what names its methods. `unasked`: why it must not be asked for a perf map; empty: it may.
  /// Never waits. Sampling thread only; a second call for the same image changes nothing.
  void Add(Pid process, std::string why, std::string_view unasked);

 private:
  struct Request {
    Pid process{};
    std::string why;
    std::string_view unasked;
    TaskStat stat;  // when it was added
    MonotonicTime since;
  };
  struct Image {
    std::uint64_t start_time = 0;
    std::uint64_t start_code = 0;
    friend bool operator==(const Image&, const Image&) = default;
  };
  static Image ImageOf(const TaskStat& stat) { return {stat.start_time, stat.start_code}; }

  void Run(const std::stop_token& stop);
  bool IsSettled(const Request& request, const std::stop_token& stop);
  bool Settle(const Request& request, const ProcessPlace& place, const std::stop_token& stop);
  void EndAll();

  std::map<Pid, Image> known_;            // sampling thread only
  std::vector<DiagnosticsSocket> asked_;  // the thread's
  std::mutex mutex_;                      // for what follows
  std::condition_variable_any changed_;
  std::vector<Request> added_;
  std::jthread thread_;  // the last: it uses the others
};

}  // namespace agent::dotnet
