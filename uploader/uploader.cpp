// SPDX-License-Identifier: Apache-2.0
#include "uploader/uploader.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/signals_blocked.h"
#include "agent/format/gzip.h"
#include "uploader/delivery.h"
#include "uploader/http_transport.h"
#include "uploader/push_request.h"
#include "uploader/window_parts.h"

namespace agent {
namespace {

constexpr Nanoseconds kRequestLimit = std::chrono::seconds(10);
// How long Finish waits for a cancelled request to return.
constexpr Nanoseconds kFarewell = std::chrono::milliseconds(50);

Backoff RandomBackoff() {
  return Backoff([generator = std::minstd_rand(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0, 1)(generator);
  });
}

// All that the upload thread uses. Shared, since the thread may outlive the Uploader.
struct Shared {
  Shared(std::string server, std::size_t queue_bytes, std::unique_ptr<Transport> the_transport)
      : transport(std::move(the_transport)),
        delivery(std::move(server), queue_bytes, RandomBackoff()) {}

  const std::unique_ptr<Transport> transport;
  const SystemClock clock;
  std::mutex mutex;  // of all below
  std::condition_variable changed;
  Delivery delivery;
  MonotonicTime request_deadline = MonotonicTime::max();  // of the request under way
  MonotonicTime finish_deadline = MonotonicTime::max();   // set by Finish
  bool finishing = false;
  bool closed = false;  // the counters are final
  bool done = false;    // the thread's last word
};

// Sends one batch. The lock is not held meanwhile, nor while the user is told of the result.
void SendNext(Shared& shared, std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<const Batch> batch = shared.delivery.Take(shared.clock.WallNow());
  if (batch == nullptr) return;
  const MonotonicTime now = shared.clock.Now();
  const Nanoseconds limit = std::clamp<Nanoseconds>(shared.finish_deadline - now,
                                                    std::chrono::milliseconds(1), kRequestLimit);
  shared.request_deadline = now + limit;
  lock.unlock();
  const Reply reply = shared.transport->Post(batch->body, limit);
  lock.lock();
  shared.request_deadline = MonotonicTime::max();
  if (shared.closed) return;
  const std::optional<Notice> notice = shared.delivery.Answer(reply, shared.clock.Now());
  if (!notice) return;
  lock.unlock();
  LogLine(notice->level, notice->text);
  lock.lock();
}

void Run(const std::shared_ptr<Shared>& shared) {
  ::pthread_setname_np(::pthread_self(), "agent-upload");
  std::unique_lock lock(shared->mutex);
  while (!shared->closed && !(shared->finishing && shared->delivery.Idle())) {
    const MonotonicTime due = shared->delivery.NextTry();
    if (due > shared->finish_deadline) break;  // nothing more would be sent until then
    if (due <= shared->clock.Now()) {
      SendNext(*shared, lock);
    } else if (due == MonotonicTime::max()) {
      shared->changed.wait(lock);
    } else {
      shared->changed.wait_until(lock, due);
    }
  }
  shared->done = true;
  shared->changed.notify_all();
}

// Empty where the system has no thread left.
std::thread StartThread(const std::shared_ptr<Shared>& shared) {
  const SignalsBlocked blocked;
  try {
    return std::thread(Run, shared);
  } catch (const std::system_error& error) {
    LogWarn("no profile is sent, there is no thread for it: {}", error.what());
  }
  return {};
}

class ThreadedUploader final : public Uploader {
 public:
  ThreadedUploader(UploadOptions options, std::string server, std::unique_ptr<Transport> transport)
      : labels_(std::move(options.labels)),
        window_options_{.threads = options.threads},
        shared_(
            std::make_shared<Shared>(std::move(server), options.queue_bytes, std::move(transport))),
        thread_(StartThread(shared_)) {}
  ~ThreadedUploader() override { ThreadedUploader::Finish(shared_->clock.Now()); }

  void Write(const Profile& window) override {
    std::vector<Batch> batches;
    for (const WindowPart& part : EncodeWindow(window, {}, window_options_)) {
      batches.push_back({.body = Gzip(EncodePushRequest(labels_, part.pprof, NewUuid())),
                         .time = window.start(),
                         .samples = part.samples});
    }
    bool is_late = false;
    {
      const std::lock_guard lock(shared_->mutex);
      if (shared_->closed) return;
      for (Batch& batch : batches) shared_->delivery.Push(std::move(batch));
      is_late = shared_->clock.Now() > shared_->request_deadline;
    }
    shared_->changed.notify_all();
    // A server that drips its answer can hold a request beyond its limit, but not beyond the next
    // window.
    if (is_late) shared_->transport->Cancel();
  }

  UploadCounters Finish(MonotonicTime deadline) override {
    std::unique_lock lock(shared_->mutex);
    if (shared_->closed) return counters_;
    shared_->finishing = true;
    shared_->finish_deadline = deadline;
    shared_->delivery.Hurry();
    shared_->changed.notify_all();
    const auto is_done = [this] { return shared_->done; };
    if (thread_.joinable() && !shared_->changed.wait_until(lock, deadline, is_done)) {
      shared_->closed = true;
      counters_ = shared_->delivery.Close();
      lock.unlock();
      shared_->transport->Cancel();
      lock.lock();
      shared_->changed.notify_all();
      shared_->changed.wait_for(lock, kFarewell, is_done);
    } else {
      shared_->closed = true;
      counters_ = shared_->delivery.Close();
    }
    const bool done = shared_->done;
    lock.unlock();
    if (!thread_.joinable()) return counters_;
    if (done) {
      thread_.join();
    } else {
      thread_.detach();
    }
    return counters_;
  }

 private:
  const Labels labels_;
  const WindowOptions window_options_;
  // Shared with the thread, which is left behind where it does not return in time.
  const std::shared_ptr<Shared> shared_;
  std::thread thread_;
  UploadCounters counters_;
};

// Stands in for a server whose address is no address.
class NoTransport final : public Transport {
 public:
  Reply Post(const std::string&, Nanoseconds) override {
    Reply reply;
    reply.trouble = "there is no valid server address";
    return reply;
  }
  void Cancel() override {}
};

}  // namespace

std::unique_ptr<Uploader> Uploader::Start(UploadOptions options) {
  const Result<ServerAddress> address = ParseServerAddress(options.server_address);
  if (!address) {
    LogWarn("the server address {}", address.error().Message());
    return Start(std::move(options), std::make_unique<NoTransport>());
  }
  return std::make_unique<ThreadedUploader>(std::move(options), address->Shown(),
                                            MakeHttpTransport(*address));
}

std::unique_ptr<Uploader> Uploader::Start(UploadOptions options,
                                          std::unique_ptr<Transport> transport) {
  return std::make_unique<ThreadedUploader>(std::move(options), "the server", std::move(transport));
}

}  // namespace agent
