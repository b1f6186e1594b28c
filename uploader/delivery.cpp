// SPDX-License-Identifier: Apache-2.0
#include "uploader/delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace agent {
namespace {

std::string WithRemedy(std::string text, const Reply& reply) {
  const std::string_view remedy = Remedy(reply);
  if (!remedy.empty()) text.append(". ").append(remedy);
  return text;
}

}  // namespace

Delivery::Delivery(std::string server, std::size_t max_bytes, Backoff backoff)
    : server_(std::move(server)), max_bytes_(max_bytes), backoff_(std::move(backoff)) {}

void Delivery::Push(Batch batch) {
  bytes_ += batch.body.size();
  queue_.push_back({.batch = std::make_shared<const Batch>(std::move(batch))});
  while (bytes_ > max_bytes_ && queue_.size() > 1) DropOldest();
}

void Delivery::DropOldest() {
  const auto oldest =
      std::ranges::min_element(queue_, {}, [](const Entry& entry) { return entry.batch->time; });
  if (counters_.last_error.empty()) counters_.last_error = "the queue was full";
  Lose(*oldest->batch);
  queue_.erase(oldest);
}

void Delivery::Lose(const Batch& batch) {
  bytes_ -= batch.body.size();
  ++counters_.windows_lost;
  counters_.samples_lost += static_cast<std::uint64_t>(batch.samples);
}

MonotonicTime Delivery::NextTry() const {
  return queue_.empty() || in_flight_ ? MonotonicTime::max() : next_try_;
}

std::shared_ptr<const Batch> Delivery::Take(WallTime now) {
  while (!queue_.empty() && now - queue_.front().batch->time > kMaxAge) {
    if (counters_.last_error.empty()) counters_.last_error = "it is older than servers take";
    Lose(*queue_.front().batch);
    queue_.pop_front();
  }
  if (queue_.empty()) return nullptr;
  in_flight_ = std::move(queue_.front());
  queue_.pop_front();
  if (in_flight_->was_tried) ++counters_.windows_retried;
  return in_flight_->batch;
}

std::optional<Notice> Delivery::Answer(const Reply& reply, MonotonicTime now) {
  const Verdict verdict = Judge(reply);
  if (verdict != Verdict::kSent) counters_.last_error = Describe(reply);
  switch (verdict) {
    case Verdict::kSent:
      return Sent();
    case Verdict::kRefused:
      return Refused(reply);
    case Verdict::kRetry:
      return Retry(reply, now);
  }
  std::unreachable();
}

std::optional<Notice> Delivery::Sent() {
  ++counters_.windows_sent;
  counters_.samples_sent += static_cast<std::uint64_t>(in_flight_->batch->samples);
  bytes_ -= in_flight_->batch->body.size();
  in_flight_.reset();
  backoff_.Reset();
  next_try_ = MonotonicTime::min();
  if (!std::exchange(is_down_, false)) return std::nullopt;
  return Notice{LogLevel::kInfo, fmt::format("profiles reach {} again", server_)};
}

std::optional<Notice> Delivery::Refused(const Reply& reply) {
  Lose(*in_flight_->batch);
  in_flight_.reset();
  // The server is there: what it refuses says nothing about the next window.
  backoff_.Reset();
  next_try_ = MonotonicTime::min();
  if (!said_refused_.insert(reply.status).second) return std::nullopt;
  return Notice{LogLevel::kWarn, WithRemedy(fmt::format("{} refused a profile, which is lost: {}",
                                                        server_, Describe(reply)),
                                            reply)};
}

std::optional<Notice> Delivery::Retry(const Reply& reply, MonotonicTime now) {
  in_flight_->was_tried = true;
  // A 500 may be about this one window (receivers answer so to what they cannot parse): the others
  // go first then.
  if (reply.status == 500) {
    queue_.push_back(*std::move(in_flight_));
  } else {
    queue_.push_front(*std::move(in_flight_));
  }
  in_flight_.reset();
  while (bytes_ > max_bytes_ && queue_.size() > 1) DropOldest();
  next_try_ = now + backoff_.Next() + reply.retry_after.value_or(Nanoseconds(0));
  is_down_ = true;
  // The first time it is told; a server that comes and goes does not fill the screen.
  const LogLevel level = std::exchange(said_down_, true) ? LogLevel::kDebug : LogLevel::kWarn;
  return Notice{level, WithRemedy(fmt::format("cannot send to {}: {}; trying again", server_,
                                              Describe(reply)),
                                  reply)};
}

void Delivery::Hurry() {
  next_try_ = MonotonicTime::min();
  backoff_.Reset();
}

UploadCounters Delivery::Close() {
  if ((in_flight_ || !queue_.empty()) && counters_.last_error.empty()) {
    counters_.last_error = "there was no time left to send them";
  }
  if (in_flight_) Lose(*in_flight_->batch);
  for (const Entry& entry : queue_) Lose(*entry.batch);
  in_flight_.reset();
  queue_.clear();
  return counters_;
}

}  // namespace agent
