// SPDX-License-Identifier: Apache-2.0
// A profile: stacks and what they cost, over one span of time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/types.h"
#include "agent/profile/frame.h"

namespace agent {

/// Index of an interned stack within one Profile.
enum class StackId : std::uint32_t {};
/// Index of a thread within one Profile.
enum class ThreadIndex : std::uint32_t {};

/// Key → value; keys are unique.
using Labels = std::vector<std::pair<std::string, std::string>>;

/// Who a sample belongs to. A thread that changes its name is another entry.
struct ThreadInfo {
  Pid pid{};
  Tid tid{};
  std::string process_name;  ///< comm of the process
  std::string thread_name;   ///< comm of the thread
  /// Of a run over many services: those of the process's. Null: the run's own. Two are the same
  /// where the pointer is.
  std::shared_ptr<const Labels> labels = nullptr;
  friend bool operator==(const ThreadInfo&, const ThreadInfo&) = default;
};

enum class SampleKind : std::uint8_t { kCpu };

/// What a sample is counted under. Sinks sum over the parts that they do not carry.
struct SampleKey {
  StackId stack{};
  ThreadIndex thread{};
  SampleKind kind = SampleKind::kCpu;
  std::uint32_t slice = 0;  ///< Which time slice since the profile's start.
  friend bool operator==(const SampleKey&, const SampleKey&) = default;
};

struct SampleValue {
  std::int64_t count =
      0;  ///< Stacks read. 0 for CPU time that no sample carried ("[not sampled]").
  std::int64_t cpu_ns = 0;  ///< CPU time that they stand for.
  std::int64_t wall_ns =
      0;  ///< Time that the thread was there, running or not; 0 when not asked for.

  SampleValue& operator+=(const SampleValue& other) {
    count += other.count;
    cpu_ns += other.cpu_ns;
    wall_ns += other.wall_ns;
    return *this;
  }
};

/// What went wrong or was left out; everything is shown, nothing vanishes silently.
struct LossCounters {
  std::uint64_t torn =
      0;  ///< Samples lost: the stack changed under every try, and no stop was possible.
  std::uint64_t unreadable = 0;    ///< Samples lost: memory could not be read.
  std::uint64_t stop_timeout = 0;  ///< Samples lost: the thread did not stop in time.
  std::uint64_t late_ticks = 0;    ///< Ticks skipped because the one before took too long.
  std::uint64_t dropped = 0;       ///< Samples lost: the naming thread did not keep up.
  std::uint64_t truncated = 0;     ///< Stacks shown, but cut at the depth limit.
  std::uint64_t incomplete = 0;    ///< Stacks shown, but their callers could not be found.
  std::uint64_t folded = 0;        ///< Stacks shown as "[other stacks]": the profile was full.

  LossCounters& operator+=(const LossCounters& other);
  /// Samples that are not in the profile.
  [[nodiscard]] std::uint64_t LostSamples() const {
    return torn + unreadable + stop_timeout + dropped;
  }
};

/// Interned stacks → values over [start, start + duration). One thread at a time.
class Profile {
 public:
  /// `slice_length` is how fine samples are told apart in time; zero: not at all.
  Profile(WallTime start, Nanoseconds slice_length);

  /// Takes leaf-first frames. An empty stack is allowed (callers avoid it).
  StackId InternStack(std::span<const Frame> frames);
  ThreadIndex InternThread(const ThreadInfo& thread);
  /// `at` is put into its slice; a time before the start counts as slice 0.
  void Add(StackId stack, ThreadIndex thread, SampleKind kind, WallTime at, SampleValue value);
  /// Adds all of `other`, losses included. Slices are translated by wall time.
  void Merge(const Profile& other);
  /// Brings ApproximateBytes() to at most `bytes` where it can: makes slices longer, then folds the
  /// stacks with the least CPU time into "[other stacks]" (`folded` is that marker, counted in
  /// losses).
  void Shrink(std::size_t bytes, const Function* folded);

  struct Entry {
    SampleKey key;
    SampleValue value;
  };
  [[nodiscard]] std::vector<Entry> Entries() const;  ///< In no particular order.
  [[nodiscard]] std::span<const Frame> StackFrames(StackId stack) const;
  [[nodiscard]] const ThreadInfo& Thread(ThreadIndex thread) const;
  [[nodiscard]] std::size_t thread_count() const { return threads_.size(); }
  [[nodiscard]] SampleValue Total() const;
  [[nodiscard]] bool empty() const { return values_.empty(); }
  [[nodiscard]] std::size_t ApproximateBytes() const;

  [[nodiscard]] WallTime start() const { return start_; }
  [[nodiscard]] Nanoseconds duration() const { return duration_; }
  void set_duration(Nanoseconds duration) { duration_ = duration; }
  [[nodiscard]] Nanoseconds slice_length() const { return slice_length_; }
  /// Nanoseconds between samples as asked for (1e9 / rate).
  [[nodiscard]] Nanoseconds period() const { return period_; }
  void set_period(Nanoseconds period) { period_ = period; }
  LossCounters& losses() { return losses_; }
  [[nodiscard]] const LossCounters& losses() const { return losses_; }

 private:
  struct StackSpan {
    std::uint32_t offset;
    std::uint32_t size;
  };
  struct KeyHash {
    std::size_t operator()(const SampleKey& key) const;
  };

  void DoubleSliceLength();
  void FoldRarestStacks(std::size_t bytes, const Function* folded);

  WallTime start_;
  Nanoseconds duration_{0};
  Nanoseconds slice_length_;
  Nanoseconds period_{0};
  std::vector<Frame> frames_;  // of all stacks, one behind another
  std::vector<StackSpan> stacks_;
  std::unordered_multimap<std::uint64_t, StackId> stack_index_;  // by hash of the frames
  std::vector<ThreadInfo> threads_;
  std::unordered_multimap<std::uint64_t, ThreadIndex> thread_index_;  // by pid and tid
  std::unordered_map<SampleKey, SampleValue, KeyHash> values_;
  LossCounters losses_;
};

/// Takes finished windows. Called from the naming thread; must not block on the network or for
/// long.
class ProfileSink {
 public:
  virtual ~ProfileSink() = default;
  virtual void Write(const Profile& window) = 0;
};

}  // namespace agent
