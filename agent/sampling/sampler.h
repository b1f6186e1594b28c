// SPDX-License-Identifier: Apache-2.0
// The sampling loop: ticks, the process tree, windows, and the keeper's orders.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/unique_fd.h"
#include "agent/process/supervision.h"
#include "agent/process/tracer.h"
#include "agent/profile/profile.h"
#include "agent/sampling/process_sampler.h"
#include "agent/sampling/process_tree.h"
#include "agent/sampling/tick_schedule.h"
#include "agent/sampling/window_writer.h"
#include "spies/spy.h"

namespace agent {

struct SamplerOptions {
  Nanoseconds period{std::chrono::milliseconds(10)};
  Nanoseconds upload_interval{std::chrono::seconds(10)};
  std::optional<Nanoseconds> duration;  ///< End by itself after this.
  bool follow_children = true;
  const ProcessChoice* choice = nullptr;  ///< With no target: which processes. Outlives the run.
  std::function<std::shared_ptr<const Labels>(Pid)> labels_of = nullptr;  ///< See SamplingContext.
  bool always_stop = false;
  bool wall = false;
  bool kernel = false;                   ///< The kernel's frames of sleepers, where it shows them.
  std::size_t window_bytes = 16u << 20;  ///< A larger window ends early, or its rarest stacks fold.
  /// Set by another thread: the window that is growing ends at the next tick.
  std::shared_ptr<std::atomic<bool>> cut_window = std::make_shared<std::atomic<bool>>(false);
};

/// What a run came to, for its closing lines.
struct SamplerReport {
  PauseHistogram pauses;
  std::optional<Nanoseconds>
      first_sample;              ///< After the program was let go; nothing: there was none.
  MonotonicTime finish_ordered;  ///< When the program had ended, or the run was told to.
  double achieved_rate = 0;      ///< Ticks and quick looks a second; 0: the run was too short.
  /// CPU time of all processes that were sampled, as the kernel counted it: that of `exec` from the
  /// program's birth.
  Nanoseconds kernel_cpu{0};
  std::map<std::string, std::int64_t> runtimes;  ///< With versions → processes.
};

/// Runs on the thread that called Run: all of ptrace, all reads of the target's memory.
class Sampler {
 public:
  /// All outlive the sampler. `start` is what the keeper gave (supervision.h).
  Sampler(const SamplerOptions& options, const SamplerStart& start,
          std::vector<SpyFactory*> factories, FunctionTable& functions, WindowWriter& writer);

  /// `connect`: the first look at the process, before anything is sampled; the error is for the
  /// user.
  Result<void> AttachFirst();
  /// Samples until the keeper orders the end, the duration is over, or (`connect`) the process is
  /// gone. The last window has been handed to the writer then.
  SamplerReport Run();

 private:
  enum class Wake { kTick, kFinish };

  Wake WaitForTick();
  [[nodiscard]] bool WaitsForMore() const;  // when there is no process (any more)
  void AwaitPending(MonotonicTime deadline);
  bool TakeOrder();
  void Tick();
  void LookQuickly();
  void TakeStopped();
  void AddNewTasks(MonotonicTime now);
  static bool FindThreads(ProcessSampler& process);
  void CutWindow(bool last);
  void BoundWindow();
  void NameAhead();
  void NewWindow(WallTime start);
  void End(ProcessSampler& process);
  void Finish();

  const SamplerOptions options_;
  const SamplerStart start_;
  WindowWriter& writer_;
  SystemClock clock_;
  Tracer tracer_;
  SamplingContext context_;
  ProcessTree tree_;
  TickSchedule ticks_;
  UniqueFd child_signal_;  // signalfd for SIGCHLD
  std::unordered_map<Pid, std::unique_ptr<ProcessSampler>> processes_;
  const Function* other_stacks_ = nullptr;  // the marker of folded stacks
  std::optional<MonotonicTime> first_sample_;
  MonotonicTime window_end_;
  MonotonicTime rest_until_;  // of bursts: no tick before it
  bool has_rested_ = false;   // the ticks until then were left out because nothing runs
  MonotonicTime run_end_;
  MonotonicTime name_ahead_at_;  // next; each time twice as late after the run's begin
  Nanoseconds ended_cpu_{0};     // in profiles, of processes that have ended
  Nanoseconds live_cpu_{0};      // at the run's end, of those that go on
  std::uint64_t done_ticks_ = 0;
  std::int64_t tree_cpu_ns_ = -1;
  bool finishing_ = false;
};

}  // namespace agent
