// SPDX-License-Identifier: Apache-2.0
// What is sent when: the queue, the retries and what the user is told. No thread, clock or network
// of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "uploader/backoff.h"
#include "uploader/reply.h"
#include "uploader/upload_counters.h"

namespace agent {

/// One request, as it is sent at every try: a server tells a repeated profile by its labels and
/// time.
struct Batch {
  std::string body;
  WallTime time;  ///< Start of the profile.
  std::int64_t samples = 0;
};

/// A line for the user.
struct Notice {
  LogLevel level = LogLevel::kWarn;
  std::string text;
};

class Delivery {
 public:
  /// Servers refuse profiles older than an hour; a minute is left for clocks that differ.
  static constexpr Nanoseconds kMaxAge = std::chrono::minutes(59);

  /// `server` is what messages call it. The queue holds at most `max_bytes` of bodies.
  Delivery(std::string server, std::size_t max_bytes, Backoff backoff);

  /// Queues. What does not fit pushes out the oldest: the newest, which is always kept, says most
  /// about the program as it is now. (Merging windows that were never sent instead belongs here.)
  void Push(Batch batch);

  /// When the next try is due; MonotonicTime::max() when nothing is queued or one is under way.
  [[nodiscard]] MonotonicTime NextTry() const;
  /// Takes the next batch to send, dropping those that are too old. Null when none is left. Shared
  /// with the sender, which may be stuck in a name look-up when the run ends and all this is gone.
  [[nodiscard]] std::shared_ptr<const Batch> Take(WallTime now);
  /// The reply to what Take gave, and what to tell the user about it.
  [[nodiscard]] std::optional<Notice> Answer(const Reply& reply, MonotonicTime now);

  /// The run is over: the wait under way is cut short, later ones begin with the shortest.
  void Hurry();
  [[nodiscard]] bool Idle() const { return queue_.empty() && !in_flight_; }
  /// Counts what is left as lost. Nothing may be called after it.
  [[nodiscard]] UploadCounters Close();

 private:
  struct Entry {
    std::shared_ptr<const Batch> batch;
    bool was_tried = false;
  };

  void Lose(const Batch& batch);
  void DropOldest();
  std::optional<Notice> Sent();
  std::optional<Notice> Refused(const Reply& reply);
  std::optional<Notice> Retry(const Reply& reply, MonotonicTime now);

  std::string server_;
  std::size_t max_bytes_;
  Backoff backoff_;
  std::deque<Entry> queue_;
  std::optional<Entry> in_flight_;
  std::size_t bytes_ = 0;  // of the queue and of what is in flight
  MonotonicTime next_try_ = MonotonicTime::min();
  bool is_down_ = false;
  bool said_down_ = false;
  std::set<int> said_refused_;  // statuses
  UploadCounters counters_;
};

}  // namespace agent
