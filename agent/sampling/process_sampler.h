// SPDX-License-Identifier: Apache-2.0
// The sampling of one process: which of its threads ran, their stacks, and what they cost.
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/process/blocked_call.h"
#include "agent/process/kernel_stack.h"
#include "agent/process/live_process.h"
#include "agent/process/proc_file.h"
#include "agent/process/task_stat.h"
#include "agent/process/thread_snapshot.h"
#include "agent/process/tracer.h"
#include "agent/profile/frame.h"
#include "agent/profile/profile.h"
#include "agent/sampling/burst.h"
#include "agent/sampling/cpu_seat.h"
#include "agent/sampling/cpu_weights.h"
#include "agent/sampling/pacers.h"
#include "agent/sampling/stack_copy.h"
#include "agent/sampling/stillness.h"
#include "agent/sampling/thread_name.h"
#include "spies/spy.h"

namespace agent {

class ProcessSampler;

/// What the processes of one run share. Sampling thread only.
struct SamplingContext {
  std::vector<SpyFactory*> factories;  ///< Asked in this order.
  Tracer* tracer = nullptr;
  SharedPage* page = nullptr;
  /// The window that samples go to; another one after each hand-over.
  std::unique_ptr<Profile> window;
  CpuSeat seat;
  Pacers pacers;
  bool paces = false;  ///< The rate leaves time for pacers.
  /// Stop every thread for its sample, as py-spy's --blocking does; else only those whose stack
  /// cannot be read truly without it (Stillness).
  bool always_stop = false;
  /// Time that threads spend asleep is profiled as well.
  bool wall = false;
  /// The rate is higher than that of ticks: bursts of quick looks in between, where a spy has them.
  bool bursts = false;
  /// For the kernel's frames of sleepers; nothing: they are not asked for, or not shown to us.
  std::optional<KernelStacks> kernel_stacks;
  /// Only then may a process between fork and exec be stopped: without it the kernel drops set-uid
  /// at exec under a tracer.
  bool has_ptrace_capability = false;
  /// CPU time used before the first look belongs to the profile (a program that we launched).
  bool count_from_birth = true;

  /// Of a run over many series: those of a process; null: the run's own. Asked for each image that
  /// it executes.
  std::function<std::shared_ptr<const Labels>(Pid)> labels_of;

  bool said_not_permitted = false;
  bool said_not_stopped = false;

  /// Processes with stops to be dealt with (ProcessSampler::TakeStopped).
  std::vector<ProcessSampler*> stopped;
  /// "CPython 3.12.1" → how many processes ran it, for the run's closing lines.
  std::map<std::string, std::int64_t> runtimes;
  StackCopier copier;
  std::size_t waiting_bytes = 0;  ///< Of snapshots that wait for what is needed to read them.

  FunctionTable* functions = nullptr;
  const Function* no_frames = nullptr;    ///< "[no Python frames]"
  const Function* without_gil = nullptr;  ///< never shown: what --gil leaves out
  const Function* not_read = nullptr;     ///< "[not read]": we may not stop the thread
  const Function* not_sampled = nullptr;  ///< "[not sampled]"
};

class ProcessSampler final : private StopClient {
 public:
  ProcessSampler(Pid pid, SamplingContext& context);
  ~ProcessSampler() override;
  ProcessSampler(const ProcessSampler&) = delete;
  ProcessSampler& operator=(const ProcessSampler&) = delete;

  void AddThread(Tid tid, InnerTid inner_tid);
  /// Samples the threads that run. False when the process has ended; then call End.
  bool Tick(MonotonicTime now, WallTime wall);
  /// Whether the last tick began bursts.
  [[nodiscard]] bool HasBursts() const { return !burst_threads_.empty(); }
  /// Whether the last tick found a thread that runs.
  [[nodiscard]] bool HasRunning() const;
  /// One quick look at each of their threads. False when one of them asks for a tick now.
  bool LookQuickly(MonotonicTime now);
  /// Turns the snapshots of threads that stopped into samples. The threads run on meanwhile.
  void TakeStopped(MonotonicTime now);
  [[nodiscard]] bool HasStopped() const { return !snapshots_.empty(); }
  /// The window in the context is a new one: takes along what waits for its weight.
  void FollowWindow(const Profile& old);
  /// Puts the wall time so far into the window, which is about to be handed over.
  void AddWallTimes(MonotonicTime now);
  /// Puts what no sample carried into the window as "[not sampled]". Returns the CPU time of this
  /// process that is in profiles, all of it.
  Nanoseconds End(WallTime wall);
  /// Attaches a spy now; the refusal if none takes it. For `connect`, which must say so before it
  /// begins.
  std::expected<void, Refusal> AttachNow();

  [[nodiscard]] Pid pid() const { return pid_; }

 private:
  struct Thread {
    Thread(Pid pid, Tid thread_id, InnerTid inner);
    void CloseFiles();
    Tid tid;
    InnerTid inner_tid;
    ProcFile stat;
    ProcFile schedstat;
    ProcFile syscall;
    ProcFile status;
    SchedStat last;
    std::string comm;
    ThreadName name;
    MonotonicTime last_active;
    CpuWeights weights;
    Burst burst;
    Nanoseconds sample_time{1};  // what the next sample stands for (CpuWeights)
    MonotonicTime sampled;       // of bursts: the last sample, or the last look that found no need
    std::optional<std::uint64_t>
        sleeps;  // of bursts: how often it had gone to sleep, when last read
    ThreadIndex index{};
    const Profile* index_of = nullptr;  // the window that `index` belongs to
    // Of samples that need a stop:
    std::size_t unfinished = 0;  // asked for, and not in the window yet
    MonotonicTime asked;
    WallTime asked_at;         // when the stop under way was asked for
    Nanoseconds unclaimed{0};  // growth that waits for these samples
    StackGuess stack;
    BlockedCall blocked;                // where it slept then
    Stack kernel_frames;                // and where in the kernel
    std::optional<StackId> wall_stack;  // since wall_since, as far as was seen
    MonotonicTime wall_since;
    int torn_looks = 0;  // of bursts: one behind another
    Stillness stillness;
    int cpu = -1;                               // TaskStat::cpu
    std::optional<MonotonicTime> stands_since;  // waits for a CPU that we keep (CpuSeat, Pacers)
    MonotonicTime stood_until;                  // when a pacer gave it back; max: none did
    MonotonicTime stat_read;
    std::uint64_t flags = 0;  // TaskStat::flags
    bool looked_at = false;
    bool was_running = true;  // not proven to be off CPU at the last look
    bool hot = false;
    bool name_stopped = false;  // its code is freed too soon to be named afterwards
    int looks = 0;              // stops in a row that found no whole stack
    int misses = 0;             // stops in a row that found it off its CPU
    bool is_missed = false;     // the stop under way did
    bool is_asked = false;      // a stop is under way
    bool asked_asleep = false;  // the stop under way is of a sleeper
    bool blip = false;          // such a stop makes it run for a moment
  };
  struct Snapshot {
    Tid tid{};
    MonotonicTime asked;
    WallTime at;
    MonotonicTime give_up;                  // when to do without what is not ready
    std::optional<BlockedCall> blocked_in;  // of a sleeper
    Stack kernel_frames;                    // of a sleeper, leaf first
    ThreadSnapshot content;
  };
  enum class Look { kIdle, kActive, kGone };

  // A thread that did nothing for this long is read only when the process's own clock tells that
  // some such thread ran.
  static constexpr std::chrono::seconds kCoolDown{1};

  Look LookAt(Thread& thread, MonotonicTime now, WallTime wall);
  void TakeStat(Thread& thread, const TaskStat& stat, MonotonicTime now);
  void LookAtHotThreads(MonotonicTime now, WallTime wall);
  void LookAtColdThreads(MonotonicTime now, WallTime wall);
  void Heat(Thread& thread);
  void EndBursts();
  void SettleBurst(Thread& thread, bool ran_on, MonotonicTime now, WallTime wall);
  static bool HasSlept(Thread& thread);
  void BeginBurst(Thread& thread, MonotonicTime now);
  void DropSpy();
  void Claim(Thread& thread, Nanoseconds growth, bool at_once);
  void TakeSample(Thread& thread, MonotonicTime now, WallTime wall);
  void AddSample(Thread& thread, MonotonicTime since, WallTime wall);
  void TakeSleeper(Thread& thread, MonotonicTime now, WallTime wall);
  void AddSleeper(Thread& thread, const BlockedCall& call, const Stack& kernel_frames,
                  MonotonicTime now);
  Stack ReadKernelFrames(Thread& thread) const;
  static Result<SchedStat> SchedStatOf(Thread& thread);
  static bool HasRun(Thread& thread);
  static bool WasOffCpu(Thread& thread, const Registers& registers);
  StackOutcome ReadBeside(Thread& thread);
  StackOutcome ReadHeld(Thread& thread);
  void SetWallStack(Thread& thread, StackId stack, MonotonicTime since);
  void LeaveOutWallTime(Thread& thread, MonotonicTime since);
  void AddWallTime(Thread& thread, MonotonicTime now);
  StackOutcome ReadRunning(Thread& thread);
  [[nodiscard]] bool HasToStandStill(const Thread& thread) const;
  /// The spy can do without stops.
  [[nodiscard]] bool ReadsRunning() const {
    return spy_ && !spy_->NeedsStop() && !spy_->WantsSnapshots();
  }
  void TakeUnstopped(Thread& thread, WallTime wall);
  void AskForStop(Thread& thread, WallTime wall);
  bool TakesLater(Thread& thread, WallTime at, StackOutcome outcome);
  void OnStopped(Tid tid, const Registers& registers) override;
  void OnReleased(Tid tid) override;
  void OnGone(Tid tid) override;
  bool ReadSnapshot(Snapshot& snapshot, MonotonicTime now);
  void Finished(Thread& thread);
  void ForgetSnapshots();
  StackOutcome NameAfter(StackOutcome read);
  bool Count(StackOutcome outcome);
  bool MayStop(const Thread& thread, MonotonicTime now) const;
  void FollowImage(const TaskStat& stat, MonotonicTime now);
  void TryAttach(MonotonicTime now);
  void Note(const Refusal& refusal);
  void SayNotPermitted();
  void CountRuntime(std::int64_t processes);
  void FollowName(Thread& thread, MonotonicTime now);
  ThreadIndex InternThread(Tid tid, const std::string& name);
  ThreadIndex IndexOf(Thread& thread);
  bool ReadClock();
  [[nodiscard]] Nanoseconds HotTime() const;

  Pid pid_;
  SamplingContext& context_;
  std::unique_ptr<LiveProcess> process_;
  std::unique_ptr<Spy> spy_;
  std::string comm_;
  std::shared_ptr<const Labels> labels_;
  std::unordered_map<Tid, Thread> threads_;
  // Those that are looked at in each tick. What a tick costs grows with them, not with the threads
  // that there are.
  std::vector<Thread*> hot_threads_;
  std::vector<Thread*> burst_threads_;  // with a burst under way

  std::optional<clockid_t> clock_id_;  // none: it had ended before we came (0 is the wall clock)
  Nanoseconds clock_{0};               // the process's CPU time at the last look
  MonotonicTime next_clock_;           // when to read it again
  Nanoseconds clock_base_{0};
  Nanoseconds claimed_{0};    // given to samples
  Nanoseconds cold_seen_{0};  // CPU time of all but the hot threads when they were last read

  std::uint64_t start_code_ = 0;
  std::uint64_t start_stack_ = 0;
  MonotonicTime born_;
  MonotonicTime next_attach_;
  Nanoseconds attach_pause_{0};
  MonotonicTime stops_refused_until_;
  std::string not_permitted_;  // why it could not be looked into when that was tried; or empty
  bool has_executed_ = true;   // a program of its own, since it was forked
  bool refused_for_good_ = false;
  bool is_fallback_ = false;                                // spy_ took what no other one did
  Stack stack_;                                             // of the sample under way
  StackOutcome stopped_outcome_ = StackOutcome::kNoFrames;  // of the thread that stands still
  std::vector<Snapshot> snapshots_;
};

}  // namespace agent
