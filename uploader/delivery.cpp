// SPDX-License-Identifier: Apache-2.0
#include "uploader/delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "agent/base/counted.h"

namespace agent {
namespace {

std::string WithRemedy(std::string text, const Reply& reply, UploadFormat format) {
  const std::string_view remedy = Remedy(reply, format);
  if (!remedy.empty()) text.append(". ").append(remedy);
  return text;
}

Tally TallyOf(const UploadWindow& window) {
  return {.windows = 1, .samples = static_cast<std::uint64_t>(window.samples)};
}

Tally Minus(const Tally& now, const Tally& before) {
  return {.windows = now.windows - before.windows, .samples = now.samples - before.samples};
}

}  // namespace

Delivery::Delivery(std::string server, Bytes bounds, Backoff backoff,
                   std::vector<UploadFormat> formats, std::unique_ptr<Spool> spool)
    : server_(std::move(server)),
      bounds_(bounds),
      backoff_(std::move(backoff)),
      formats_(std::move(formats)),
      spool_(std::move(spool)) {
  if (spool_ == nullptr) return;
  for (Spool::Found& found : spool_->TakeFound()) {
    Entry entry{.window = std::move(found.window), .spooled = found.id};
    entry.size.disk = found.bytes;
    entry.stands_alone = true;  // it may have been sent already: as it is the server tells it
    Insert(queue_.end(), std::move(entry));
  }
}

void Delivery::Insert(const Place& place, Entry entry) {
  size_ += entry.size;
  queue_.insert(place, std::move(entry));
}

Delivery::Entry Delivery::Remove(const Place& place) {
  Entry entry = std::move(*place);
  queue_.erase(place);
  size_ -= entry.size;
  return entry;
}

Delivery::Entry Delivery::MakeEntry(UploadWindow window) {
  Entry entry{.window = std::move(window), .spooled = {}};
  const std::size_t bytes = entry.window.pprof->size();
  if (spool_ != nullptr) entry.spooled = spool_->Put(entry.window);
  if (entry.spooled) {
    entry.window.pprof.reset();
    entry.size.disk = bytes;
  } else {
    entry.size.memory = bytes;
  }
  return entry;
}

void Delivery::Push(UploadWindow window) {
  Insert(queue_.end(), MakeEntry(std::move(window)));
  MakeRoom();
}

void Delivery::MakeRoom() {
  while (queue_.size() > 1) {
    std::size_t Bytes::* scarce = nullptr;
    if (size_.memory > bounds_.memory) {
      scarce = &Bytes::memory;
    } else if (size_.disk > bounds_.disk) {
      scarce = &Bytes::disk;
    } else {
      return;
    }
    if (MergeOldest(scarce)) continue;
    auto oldest = queue_.end();
    for (auto entry = queue_.begin(); entry != queue_.end(); ++entry) {
      if (entry->size.*scarce == 0) continue;
      if (oldest == queue_.end() || entry->window.start < oldest->window.start) oldest = entry;
    }
    if (oldest == queue_.end()) return;  // what is in flight holds it
    if (counters_.last_error.empty()) counters_.last_error = "the queue was full";
    Lose(Remove(oldest), LossCause::kQueueFull);
  }
}

// Of what holds `scarce` the neighbours of a series that make the shortest window: so all of the
// past becomes coarser together.
std::optional<std::pair<std::size_t, std::size_t>> Delivery::FindPair(
    std::size_t Bytes::* scarce) const {
  std::optional<std::pair<std::size_t, std::size_t>> best;
  Nanoseconds best_span = kMaxMerged;
  // Of each series the last one before: many series stand between each other.
  std::map<Labels, std::size_t> last_of;
  for (std::size_t i = 0; i < queue_.size(); ++i) {
    if (queue_[i].size.*scarce == 0) continue;
    const auto [place, is_first] = last_of.try_emplace(*queue_[i].window.labels, i);
    if (is_first) continue;
    const std::size_t before = std::exchange(place->second, i);
    const Entry& first = queue_[before];
    const Entry& second = queue_[i];
    if (first.request != nullptr || second.request != nullptr || first.stands_alone) continue;
    const Nanoseconds span = second.window.start + second.window.duration - first.window.start;
    if (span < Nanoseconds(0) || span >= best_span) continue;
    best = std::pair(before, i);
    best_span = span;
  }
  return best;
}

// True if there may be more room now.
bool Delivery::MergeOldest(std::size_t Bytes::* scarce) {
  const auto pair = FindPair(scarce);
  if (!pair) return false;
  Entry& first = queue_[pair->first];
  const Entry& second = queue_[pair->second];
  const auto bytes_of = [&](const Entry& entry) {
    return entry.spooled ? spool_->Get(*entry.spooled).value_or(entry.window) : entry.window;
  };
  std::optional<UploadWindow> merged = MergeWindows(bytes_of(first), bytes_of(second));
  if (!merged) {
    first.stands_alone = true;
    return true;
  }
  merged->samples = first.window.samples + second.window.samples;
  // The new file first: what happens twice, a server tells; what is gone, it does not.
  Entry entry = MakeEntry(*std::move(merged));
  Forget(first);
  Forget(second);
  Remove(queue_.begin() + static_cast<std::ptrdiff_t>(pair->second));
  Remove(queue_.begin() + static_cast<std::ptrdiff_t>(pair->first));
  ++counters_.merged;
  const auto place = std::ranges::find_if(
      queue_, [&](const Entry& other) { return other.window.start > entry.window.start; });
  Insert(place, std::move(entry));
  return true;
}

void Delivery::Forget(const Entry& entry) {
  if (entry.spooled) spool_->Remove(*entry.spooled);
}

void Delivery::Lose(const Entry& entry, LossCause cause) {
  Forget(entry);
  (entry.unanswered ? counters_.unknown : counters_.Lost(cause)) += TallyOf(entry.window);
}

MonotonicTime Delivery::NextTry() const {
  return queue_.empty() || in_flight_ ? MonotonicTime::max() : next_try_;
}

std::optional<Attempt> Delivery::Take(WallTime now) {
  while (true) {
    const auto old = std::ranges::find_if(
        queue_, [&](const Entry& entry) { return now - entry.window.start > kMaxAge; });
    if (old == queue_.end()) break;
    if (counters_.last_error.empty()) counters_.last_error = "it is older than servers take";
    Lose(Remove(old), LossCause::kTooOld);
  }
  if (queue_.empty()) return std::nullopt;
  const Bytes size = queue_.front().size;
  in_flight_ = Remove(queue_.begin());
  size_ += size;
  Entry& entry = *in_flight_;
  if (entry.request != nullptr) {
    ++counters_.retried;
  } else {
    entry.format = formats_[format_];
  }
  Attempt attempt{.window = entry.window, .format = entry.format, .request = entry.request};
  if (entry.spooled && entry.request == nullptr) {
    if (auto window = spool_->Get(*entry.spooled)) attempt.window.pprof = window->pprof;
  }
  return attempt;
}

void Delivery::Made(std::shared_ptr<const HttpRequest> request) {
  in_flight_->size.memory += request->body.size();
  size_.memory += request->body.size();
  in_flight_->request = std::move(request);
}

void Delivery::Unreadable(const Error& error) {
  counters_.last_error = error.Message();
  size_ -= in_flight_->size;
  Lose(*std::exchange(in_flight_, std::nullopt), LossCause::kUnreadable);
}

std::optional<Notice> Delivery::Answer(const Reply& reply, MonotonicTime now) {
  const Verdict verdict = Judge(reply, in_flight_->format);
  // What broke off at our own end says less than what kept the windows until then.
  if (verdict != Verdict::kSent && !(reply.cut_short && is_down_)) {
    counters_.last_error = Describe(reply, in_flight_->format);
  }
  switch (verdict) {
    case Verdict::kSent:
      return Sent();
    case Verdict::kRefused:
      return Refused(reply);
    case Verdict::kOtherFormat:
      // A server that took it before is only away for the moment, as behind a proxy that starts.
      if (proven_ && formats_[*proven_] == in_flight_->format && formats_.size() > 1) {
        return Retry(reply, now);
      }
      return OtherFormat(reply);
    case Verdict::kRetry:
      return Retry(reply, now);
  }
  std::unreachable();
}

// The server is there: what it says of one window says nothing about the next.
void Delivery::GoOn() {
  size_ -= in_flight_->size;
  in_flight_.reset();
  backoff_.Reset();
  next_try_ = MonotonicTime::min();
}

std::optional<Notice> Delivery::Sent() {
  counters_.sent += TallyOf(in_flight_->window);
  Forget(*in_flight_);
  proven_ = format_;
  GoOn();
  if (!std::exchange(is_down_, false)) return std::nullopt;
  return Notice{LogLevel::kInfo, fmt::format("profiles reach {} again", server_)};
}

std::optional<Notice> Delivery::Refused(const Reply& reply) {
  const UploadFormat format = in_flight_->format;
  Lose(*in_flight_, LossCause::kRefused);
  GoOn();
  if (!said_refused_.insert(reply.status).second) return std::nullopt;
  return Notice{LogLevel::kWarn, WithRemedy(fmt::format("{} refused a profile, which is lost: {}",
                                                        server_, Describe(reply, format)),
                                            reply, format)};
}

std::optional<Notice> Delivery::OtherFormat(const Reply& reply) {
  const UploadFormat format = in_flight_->format;
  if (format_ + 1 >= formats_.size() || in_flight_->unanswered) {
    format_ = proven_.value_or(0);
    return Refused(reply);
  }
  const bool is_current = format == formats_[format_];
  if (is_current) ++format_;
  // It was not taken: in the other format it is a new request.
  Entry entry = *std::move(in_flight_);
  GoOn();
  entry.size.memory -= entry.request->body.size();
  entry.request.reset();
  Insert(queue_.begin(), std::move(entry));
  if (!is_current || formats_.size() == 1) return std::nullopt;
  return Notice{LogLevel::kWarn,
                fmt::format("{} does not know the format {} ({}): {} is tried", server_,
                            NameOf(format), Describe(reply, format), NameOf(formats_[format_]))};
}

std::optional<Notice> Delivery::Retry(const Reply& reply, MonotonicTime now) {
  Entry entry = *std::exchange(in_flight_, std::nullopt);
  size_ -= entry.size;
  const UploadFormat format = entry.format;
  const bool never_sent =
      reply.status == 0 && !reply.reached && !entry.unanswered && entry.failures == 0;
  if (never_sent) {
    // As if it had not been tried: it may be merged, and go in another format.
    entry.size.memory -= entry.request->body.size();
    entry.request.reset();
  }
  if (reply.status == 0 && reply.reached) entry.unanswered = true;
  // A gateway that lost its server's answer.
  if (reply.status == 502 || reply.status == 504) entry.unanswered = true;
  if (reply.status == 500) ++entry.failures;
  if (entry.failures >= kMaxFailures) {
    Lose(entry, LossCause::kTriesSpent);
  } else {
    // A 500 may be about this one window (receivers answer so to what they cannot parse): the
    // others go first then.
    Insert(reply.status == 500 ? queue_.end() : queue_.begin(), std::move(entry));
    MakeRoom();
  }
  next_try_ = now + backoff_.Next() + reply.retry_after.value_or(Nanoseconds(0));
  is_down_ = true;
  // The first time it is told; a server that comes and goes does not fill the screen.
  const LogLevel level = std::exchange(said_down_, true) ? LogLevel::kDebug : LogLevel::kWarn;
  return Notice{level, WithRemedy(fmt::format("cannot send to {}: {}; trying again", server_,
                                              Describe(reply, format)),
                                  reply, format)};
}

std::optional<Notice> Delivery::Report(MonotonicTime now) {
  if (!last_report_) last_report_ = now;
  if (now - *last_report_ < kReportEvery) return std::nullopt;
  const Tally lost = Minus(counters_.AllLost(), reported_.AllLost());
  const Tally unknown = Minus(counters_.unknown, reported_.unknown);
  last_report_ = now;
  if (lost.windows + unknown.windows == 0) return std::nullopt;
  UploadCounters since = counters_;
  for (std::size_t i = 0; i < since.lost.size(); ++i) {
    since.lost[i] = Minus(counters_.lost[i], reported_.lost[i]);
  }
  reported_ = counters_;
  std::string text = fmt::format("{}: {} with {} lost", server_, Counted(lost.windows, "profile"),
                                 Counted(lost.samples, "sample"));
  if (lost.windows > 0) text += fmt::format(" ({})", LossCauses(since));
  if (unknown.windows > 0) {
    text += fmt::format(", {} with {} never answered", Counted(unknown.windows, "profile"),
                        Counted(unknown.samples, "sample"));
  }
  return Notice{LogLevel::kWarn, fmt::format("{}: {}", text, counters_.last_error)};
}

void Delivery::Hurry() {
  next_try_ = MonotonicTime::min();
  backoff_.Reset();
}

UploadCounters Delivery::Counters() const {
  UploadCounters counters = counters_;
  counters.queued_bytes = size_.memory + size_.disk;
  for (const Entry& entry : queue_) {
    if (entry.spooled) counters.spooled += TallyOf(entry.window);
  }
  if (in_flight_ && in_flight_->spooled) counters.spooled += TallyOf(in_flight_->window);
  return counters;
}

void Delivery::Close() {
  if (in_flight_) {
    in_flight_->unanswered = in_flight_->request != nullptr;
    queue_.push_front(*std::exchange(in_flight_, std::nullopt));
  }
  if (!queue_.empty() && counters_.last_error.empty()) {
    counters_.last_error = "there was no time left to send them";
  }
  for (const Entry& entry : queue_) {
    if (entry.spooled) {
      counters_.kept += TallyOf(entry.window);
    } else {
      Lose(entry, LossCause::kEnd);
    }
  }
  queue_.clear();
  size_ = {};
}

}  // namespace agent
