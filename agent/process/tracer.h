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
#include "agent/process/registers.h"
#include "agent/process/supervision.h"

namespace agent {

/// Who asked for a stop.
class StopClient {
 public:
  virtual ~StopClient() = default;
  /// The thread stands still until this returns: copy what is needed and nothing else.
  virtual void OnStopped(Tid tid, const Registers& registers) = 0;
  /// It was let go, right after OnStopped.
  virtual void OnReleased(Tid tid) = 0;
  /// It has ended instead.
  virtual void OnGone(Tid tid) = 0;
};

/// Sampling thread only: ptrace belongs to the thread that attached. SIGCHLD must be blocked in all
/// threads; its handler is the tracer's. Attaches for one stop and detaches at once, passing on the
/// signal that reached the thread meanwhile (PTRACE_SEIZE, never PTRACE_ATTACH or EXITKILL: if we
/// die, the kernel lets the thread run on).
class Tracer {
 public:
  /// `page` outlives the tracer; the keeper's watchdog reads it.
  explicit Tracer(SharedPage& page);

  /// Asks for a stop without waiting for it; several threads may be asked one behind another.
  /// `client` is told when it comes, however late, in AwaitStops or Collect: a thread in the run
  /// queue stops when it gets a CPU, with the stack that it has now. kGone, kNotPermitted;
  /// kTimeout: it was asked before and has not stopped, or another tracer has it.
  Result<void> Interrupt(Pid process, Tid tid, StopClient& client);
  /// Handles stops as they come, until all that were asked for have come, or `until`.
  void AwaitStops(MonotonicTime until);
  /// The client is going away: its threads are let go as they stop.
  void Forget(const StopClient& client);
  /// Handles stops that have come by now, and reaps. Never blocks. To be called at SIGCHLD and each
  /// tick: until a dead attached thread is reaped, an exec of its process hangs.
  void Collect();
  /// Forgets all that were asked for. Only right before the thread ends, which lets them go.
  void LetGo();
  [[nodiscard]] bool HasPending() const { return !pending_.empty(); }
  [[nodiscard]] const PauseHistogram& pauses() const { return pauses_; }

 private:
  struct Pending {
    Pid process;
    Tid tid;
    MonotonicTime since;
    StopClient* client;     // null: let it go when it stops
    MonotonicTime checked;  // when it was last looked whether it can still stop
  };
  struct Event;
  void Handle(const Event& event);
  void LookAfterPending();
  void DropUnreported(MonotonicTime now);
  void UpdatePage(MonotonicTime now);

  SharedPage& page_;
  std::vector<Pending> pending_;
  PauseHistogram pauses_;
};

}  // namespace agent
