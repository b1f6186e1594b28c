// SPDX-License-Identifier: Apache-2.0
#include "uploader/sender.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "agent/base/log.h"
#include "agent/base/signals_blocked.h"
#include "uploader/upload_format.h"

namespace agent {
namespace {

// How long the end waits for a cancelled request to return.
constexpr Nanoseconds kFarewell = std::chrono::milliseconds(50);

void Say(const std::optional<Notice>& notice) {
  if (notice) LogLine(notice->level, notice->text);
}

}  // namespace

// All that the thread uses.
struct Sender::Shared {
  Shared(Delivery the_delivery, std::unique_ptr<Transport> the_transport, Nanoseconds limit)
      : transport(std::move(the_transport)),
        request_limit(limit),
        delivery(std::move(the_delivery)) {}

  void Run();
  void SendNext(std::unique_lock<std::mutex>& lock);

  const std::unique_ptr<Transport> transport;
  const Nanoseconds request_limit;
  const SystemClock clock;
  mutable std::mutex mutex;  // of all below
  std::condition_variable changed;
  Delivery delivery;
  MonotonicTime request_deadline = MonotonicTime::max();  // of the request under way
  MonotonicTime end_deadline = MonotonicTime::max();      // set at the end
  bool ending = false;
  bool closed = false;  // the counters are final
  bool done = false;    // the thread's last word
};

// The lock is not held while the request is made and sent, nor while the user is told.
void Sender::Shared::SendNext(std::unique_lock<std::mutex>& lock) {
  std::optional<Attempt> attempt = delivery.Take(clock.WallNow());
  if (!attempt) return;
  if (attempt->request == nullptr) {
    lock.unlock();
    Result<HttpRequest> made = MakeUploadRequest(attempt->window, attempt->format);
    lock.lock();
    if (closed) return;
    if (!made) return delivery.Unreadable(made.error());
    attempt->request = std::make_shared<const HttpRequest>(*std::move(made));
    delivery.Made(attempt->request);
  }
  const MonotonicTime now = clock.Now();
  const Nanoseconds limit =
      std::clamp<Nanoseconds>(end_deadline - now, std::chrono::milliseconds(1), request_limit);
  request_deadline = now + limit;
  lock.unlock();
  Reply reply = transport->Post(*attempt->request, limit);
  lock.lock();
  reply.cut_short = reply.status == 0 && (limit < request_limit || clock.Now() >= end_deadline);
  request_deadline = MonotonicTime::max();
  if (closed) return;
  const std::optional<Notice> notice = delivery.Answer(reply, clock.Now());
  lock.unlock();
  Say(notice);
  lock.lock();
}

void Sender::Shared::Run() {
  ::pthread_setname_np(::pthread_self(), "agent-upload");
  std::unique_lock lock(mutex);
  while (!closed && !(ending && delivery.Idle())) {
    const MonotonicTime due = delivery.NextTry();
    if (std::max(due, clock.Now()) > end_deadline) break;  // nothing more would be sent until then
    if (due <= clock.Now()) {
      SendNext(lock);
    } else if (due == MonotonicTime::max()) {
      changed.wait(lock);
    } else {
      changed.wait_until(lock, due);
    }
  }
  done = true;
  changed.notify_all();
}

Sender::Sender(Delivery delivery, std::unique_ptr<Transport> transport, Nanoseconds request_limit)
    : shared_(std::make_shared<Shared>(std::move(delivery), std::move(transport), request_limit)) {
  const SignalsBlocked blocked;
  try {
    thread_ = std::thread([shared = shared_] { shared->Run(); });
  } catch (const std::system_error& error) {
    LogWarn("no profile is sent, there is no thread for it: {}", error.what());
  }
}

Sender::~Sender() { AwaitEnd(shared_->clock.Now()); }

void Sender::Push(std::vector<UploadWindow> windows) {
  bool is_late = false;
  std::optional<Notice> notice;
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->closed) return;
    for (UploadWindow& window : windows) shared_->delivery.Push(std::move(window));
    const MonotonicTime now = shared_->clock.Now();
    notice = shared_->delivery.Report(now);
    is_late = now > shared_->request_deadline;
  }
  shared_->changed.notify_all();
  // A server that drips its answer can hold a request beyond its limit, but not beyond the next
  // window.
  if (is_late) shared_->transport->Cancel();
  Say(notice);
}

void Sender::BeginEnd(MonotonicTime deadline) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->ending) return;
    shared_->ending = true;
    shared_->end_deadline = deadline;
    shared_->delivery.Hurry();
  }
  shared_->changed.notify_all();
}

void Sender::AwaitEnd(MonotonicTime deadline) {
  BeginEnd(deadline);
  std::unique_lock lock(shared_->mutex);
  if (shared_->closed) return;
  const auto is_done = [this] { return shared_->done; };
  const bool in_time = !thread_.joinable() || shared_->changed.wait_until(lock, deadline, is_done);
  if (!in_time) {
    lock.unlock();
    shared_->transport->Cancel();
    lock.lock();
    // Its reply says whether the server may have what was under way.
    shared_->changed.wait_until(lock, deadline + kFarewell, is_done);
  }
  shared_->closed = true;
  shared_->delivery.Close();
  const bool done = shared_->done;
  lock.unlock();
  if (!thread_.joinable()) return;
  if (done) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

UploadCounters Sender::Counters() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->delivery.Counters();
}

}  // namespace agent
