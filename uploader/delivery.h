// SPDX-License-Identifier: Apache-2.0
// What is sent when to one server: the queue, the retries, the format and what the user is told. No
// thread, clock or network of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "uploader/backoff.h"
#include "uploader/reply.h"
#include "uploader/spool.h"
#include "uploader/upload_counters.h"
#include "uploader/upload_format.h"
#include "uploader/upload_window.h"

namespace agent {

/// A line for the user.
struct Notice {
  LogLevel level = LogLevel::kWarn;
  std::string text;
};

/// What is to be sent now.
struct Attempt {
  UploadWindow window;
  UploadFormat format = UploadFormat::kPush;
  /// Of the first try, the same at every one: a server tells a repeated profile by its labels and
  /// time. Null at the first try: make it, and call Made.
  std::shared_ptr<const HttpRequest> request;
};

class Delivery {
 public:
  /// Servers refuse profiles older than an hour; a minute is left for clocks that differ.
  static constexpr Nanoseconds kMaxAge = std::chrono::minutes(59);
  /// Of a window whose request the server fails at (status 500): it may be the window's fault. All
  /// other tries are bounded by its age.
  static constexpr int kMaxFailures = 8;
  /// Merged windows are no longer than this: the server shows one as a point in time.
  static constexpr Nanoseconds kMaxMerged = std::chrono::minutes(10);
  /// How often a line tells of losses.
  static constexpr Nanoseconds kReportEvery = std::chrono::minutes(1);

  /// Of windows, by where they are.
  struct Bytes {
    std::size_t memory = 0;
    std::size_t disk = 0;  // with a spool; what the disk does not take stays in memory

    Bytes& operator+=(const Bytes& other) {
      memory += other.memory;
      disk += other.disk;
      return *this;
    }
    Bytes& operator-=(const Bytes& other) {
      memory -= other.memory;
      disk -= other.disk;
      return *this;
    }
  };

  /// `server` is what messages call it. `bounds`: how much the queue may hold. `formats` are tried
  /// in turn until the server knows one. `spool`: null for none; the queue is there then, and
  /// begins with what was in it.
  Delivery(std::string server, Bytes bounds, Backoff backoff,
           std::vector<UploadFormat> formats = {UploadFormat::kPush},
           std::unique_ptr<Spool> spool = nullptr);

  /// Queues. What does not fit makes the oldest be merged or, where nothing can be, pushes it out;
  /// the newest is always kept.
  void Push(UploadWindow window);

  /// When the next try is due; MonotonicTime::max() when nothing is queued or one is under way.
  [[nodiscard]] MonotonicTime NextTry() const;
  /// Takes the next window to send, dropping those that are too old. Nothing when none is left.
  [[nodiscard]] std::optional<Attempt> Take(WallTime now);
  /// The request of what Take gave, or that none can be made of it (the window is then lost).
  void Made(std::shared_ptr<const HttpRequest> request);
  void Unreadable(const Error& error);
  /// The reply to it, and what to tell the user.
  [[nodiscard]] std::optional<Notice> Answer(const Reply& reply, MonotonicTime now);

  /// What was lost since the last report; at most once a minute.
  [[nodiscard]] std::optional<Notice> Report(MonotonicTime now);
  /// The run is over: the wait under way is cut short, later ones begin with the shortest.
  void Hurry();
  [[nodiscard]] bool Idle() const { return queue_.empty() && !in_flight_; }
  [[nodiscard]] UploadCounters Counters() const;
  /// Counts what is left: as kept where there is a spool, else as lost or, if the server may have
  /// it, unknown. Nothing may be called after it but Counters.
  void Close();

 private:
  struct Entry {
    UploadWindow window;  // with a spool its bytes are there
    std::optional<SpoolId> spooled = std::nullopt;
    std::shared_ptr<const HttpRequest> request = nullptr;  // null: never tried
    UploadFormat format = UploadFormat::kPush;             // of the request
    Bytes size = {};                                       // what it counts for in size_
    int failures = 0;
    bool unanswered = false;    // was sent, and the server did not say what became of it
    bool stands_alone = false;  // cannot be merged with the next one
  };
  using Place = std::deque<Entry>::iterator;

  [[nodiscard]] Entry MakeEntry(UploadWindow window);
  void Insert(const Place& place, Entry entry);
  Entry Remove(const Place& place);
  void MakeRoom();
  bool MergeOldest(std::size_t Bytes::* scarce);
  [[nodiscard]] std::optional<std::pair<std::size_t, std::size_t>> FindPair(
      std::size_t Bytes::* scarce) const;
  void Lose(const Entry& entry, LossCause cause);
  void Forget(const Entry& entry);
  std::optional<Notice> Sent();
  std::optional<Notice> Refused(const Reply& reply);
  std::optional<Notice> OtherFormat(const Reply& reply);
  std::optional<Notice> Retry(const Reply& reply, MonotonicTime now);
  void GoOn();

  std::string server_;
  Bytes bounds_;
  Backoff backoff_;
  std::vector<UploadFormat> formats_;
  std::unique_ptr<Spool> spool_;
  std::size_t format_ = 0;             // which of them is in use
  std::optional<std::size_t> proven_;  // the one that the server took last
  std::deque<Entry> queue_;            // oldest first, but for those that the server failed at
  std::optional<Entry> in_flight_;
  Bytes size_;  // of the queue and of what is in flight
  MonotonicTime next_try_ = MonotonicTime::min();
  bool is_down_ = false;
  bool said_down_ = false;
  std::set<int> said_refused_;  // statuses
  UploadCounters counters_;
  std::optional<MonotonicTime> last_report_;
  UploadCounters reported_;
};

}  // namespace agent
