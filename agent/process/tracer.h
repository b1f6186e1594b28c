// SPDX-License-Identifier: Apache-2.0
// Stopping a thread for a moment. The only place that uses ptrace and waits for children.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/process/pause_histogram.h"
#include "agent/process/supervision.h"

namespace agent {

class Tracer;

/// A thread that stands still as long as this lives; the destructor lets it run on, with the signal
/// that reached it meanwhile. While one lives: no file is opened, nothing is parsed, logged or
/// allocated without bound.
class [[nodiscard]] StoppedThread {
 public:
  StoppedThread(StoppedThread&& other) noexcept;
  StoppedThread& operator=(StoppedThread&&) = delete;
  ~StoppedThread();

 private:
  friend class Tracer;
  StoppedThread(Tracer* tracer, Tid tid, int signal, MonotonicTime since);

  Tracer* tracer_;
  Tid tid_;
  int signal_;
  MonotonicTime since_;
};

/// Sampling thread only: ptrace belongs to the thread that attached. SIGCHLD must be blocked and at
/// its default. Attaches for one stop and detaches at once (PTRACE_SEIZE, never PTRACE_ATTACH or
/// EXITKILL: if we die, the kernel lets the thread run on).
class Tracer {
 public:
  /// `page` outlives the tracer; the keeper's watchdog reads it.
  explicit Tracer(SharedPage& page) : page_(page) {}

  /// Stops one thread of `process`, at the latest at `deadline`. kTimeout: it did not stop in time
  /// (it is freed by Collect as soon as it does), or another thread of the process is still about
  /// to stop. kGone, kNotPermitted.
  Result<StoppedThread> Stop(Pid process, Tid tid, MonotonicTime deadline);
  /// Frees threads that stopped after their deadline, and reaps. Never blocks. To be called at
  /// SIGCHLD and each tick: until a dead attached thread is reaped, an exec of its process hangs.
  void Collect();
  [[nodiscard]] bool HasPending() const { return !pending_.empty(); }
  [[nodiscard]] const PauseHistogram& pauses() const { return pauses_; }

 private:
  friend class StoppedThread;
  struct Pending {
    Pid process;
    Tid tid;
  };
  struct Event {
    Tid tid{};
    bool stopped = false;  ///< Else the task has ended.
    int signal = 0;        ///< To be passed on.
  };
  // The next event of any child or attached thread, if there is one now.
  static bool NextEvent(Event* event);
  void HandleStray(const Event& event);
  void Release(Tid tid, int signal, MonotonicTime since);

  SharedPage& page_;
  std::vector<Pending> pending_;
  PauseHistogram pauses_;
};

}  // namespace agent
