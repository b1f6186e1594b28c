// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "agent/base/clock.h"

namespace agent {

/// A thread of ours on one CPU, which takes that CPU at each tick that it is told and keeps it
/// until it is released, at most kLongestHold.
class Pacer {
 public:
  explicit Pacer(int cpu);
  ~Pacer();
  Pacer(const Pacer&) = delete;
  Pacer& operator=(const Pacer&) = delete;

  // From another thread, one:
  /// To be told before the tick of now is released; later it costs a wake-up more.
  void SetNext(MonotonicTime tick);
  /// Waits until it has the CPU, at most until `deadline`: since when. Nothing: too late, or it has
  /// been released.
  std::optional<MonotonicTime> AwaitHold(MonotonicTime tick, MonotonicTime deadline) const;
  void Release(MonotonicTime tick);

  static constexpr std::chrono::microseconds kLongestHold{150};

 private:
  // Ticks, as nanoseconds of MonotonicTime.
  struct Shared {
    std::atomic<std::int64_t> next{0};
    std::atomic<std::int64_t> held{0};  // 0: none
    std::atomic<std::int64_t> released{0};
    std::atomic<std::int64_t> held_since{0};
  };
  static void Run(Shared& shared, int cpu);

  // With its thread, which may sleep until a tick when nobody needs it any more.
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

/// Makes stops true to the tick. A thread that is stopped from another CPU runs on until the
/// interrupt has got there (20 us in a virtual machine), and where it makes a system call meanwhile
/// it stops at the end of that: code behind system calls has far too much (CpuSeat's figures). So a
/// pacer takes the thread's CPU at the tick, by a timer of that CPU, and gives it back when the
/// stop has been asked for: the thread goes on into the stop.
///
/// On the sampling thread's own CPU there is no need (a thread that we let go there is woken on
/// another one, which is why we do not sit there for stops). Sampling thread only.
class Pacers {
 public:
  /// The tick of now, and the one after it.
  void BeginTick(MonotonicTime tick, MonotonicTime following, MonotonicTime now);
  /// A thread on `cpu` is about to be stopped, or read: since when it stands still; nothing: it may
  /// run. From the next tick on there is a pacer for it.
  std::optional<MonotonicTime> Hold(int cpu);
  /// It has been asked to stop, or was read: it gets its CPU back. False: there was no pacer.
  bool Release(int cpu);
  void EndTick();
  /// How much earlier than the next tick the sampling thread is to wake: pacers get their CPU,
  /// which is awake, sooner than it does.
  [[nodiscard]] Nanoseconds lead() const { return lead_; }

  /// With a shorter one between ticks they would take too much of the program's time.
  static constexpr std::chrono::microseconds kShortestPeriod{500};

 private:
  struct Entry {
    std::unique_ptr<Pacer> pacer;
    MonotonicTime wanted;
    MonotonicTime told;  // of which tick last
  };
  Entry* Find(int cpu);
  void Judge(bool was_held);
  void Release(Entry& entry);

  static constexpr std::size_t kMost = 8;
  // How long it goes on without being asked for, which is cheaper than waking it again.
  static constexpr std::chrono::milliseconds kKept{50};
  // From the tick's begin until the CPU is taken.
  static constexpr std::chrono::microseconds kLongestWait{120};
  static constexpr std::chrono::microseconds kMostLate{200};
  static constexpr int kMean = 8;  // ticks
  // On a machine that is too busy for them they are no use.
  static constexpr int kMostCredit = 64;
  static constexpr std::chrono::seconds kPause{5};

  std::map<int, Entry> entries_;  // by CPU
  MonotonicTime tick_;
  MonotonicTime following_;
  MonotonicTime begun_;
  Nanoseconds mean_late_ = kMostLate / 2;  // how late the sampling thread wakes
  Nanoseconds lead_{0};
  MonotonicTime paused_until_;
  int credit_ = kMostCredit;
  bool is_refused_ = false;
};

}  // namespace agent
