// SPDX-License-Identifier: Apache-2.0
#include "uploader/pull_server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "agent/base/parse_number.h"
#include "agent/base/signals_blocked.h"
#include "agent/format/gzip.h"
#include "agent/format/loaded_profile.h"
#include "agent/format/pprof_encoder.h"

namespace agent {
namespace {

constexpr std::size_t kMostBytes = 16u << 20;  // of each profile that is being taken
constexpr int kDefaultSeconds = 30;
constexpr int kMostSeconds = 600;
constexpr std::size_t kMostPulls = 4;  // at a time; each holds a thread
constexpr std::size_t kThreads = kMostPulls + 2;
// How long the window that was asked for may take to come.
constexpr Nanoseconds kPatience = std::chrono::seconds(3);
constexpr Nanoseconds kFarewell = std::chrono::milliseconds(200);

// One who waits for a profile.
struct Pull {
  WallTime begin;
  WallTime end;
  std::unique_ptr<LoadedProfile> sum;
  bool has_end = false;  // a window that reaches it has come
};

// All that the server's threads use: one of them may be left behind.
struct Shared {
  explicit Shared(PullServer::Hooks the_hooks) : hooks(std::move(the_hooks)) {}

  void Take(const Profile& window);
  std::string Collect(Nanoseconds duration);

  const SystemClock clock;
  std::mutex mutex;  // of all below
  std::condition_variable changed;
  PullServer::Hooks hooks;
  std::list<Pull> pulls;
  bool ending = false;
  bool done = false;  // the server's thread's last word
  httplib::Server server;
};

void Add(std::unique_ptr<LoadedProfile> more, Pull& pull) {
  if (pull.sum == nullptr) {
    pull.sum = std::move(more);
    return;
  }
  Profile& sum = pull.sum->profile;
  const WallTime end = more->profile.start() + more->profile.duration();
  AddProfile(*pull.sum, *more);
  sum.set_duration(end - sum.start());
  sum.Shrink(kMostBytes, pull.sum->functions.Marker("[other stacks]"));
}

void Shared::Take(const Profile& window) {
  {
    const std::lock_guard lock(mutex);
    std::string pprof;
    for (Pull& pull : pulls) {
      // The one that was growing when it was asked for is not its own.
      if (window.start() < pull.begin || pull.has_end) continue;
      if (pprof.empty()) pprof = EncodePprof(window, {.thread_labels = hooks.threads});
      if (auto more = DecodePprof(pprof)) Add(*std::move(more), pull);
      pull.has_end = window.start() + window.duration() >= pull.end;
    }
  }
  changed.notify_all();
}

// The gzipped pprof; "" when too many ask.
std::string Shared::Collect(Nanoseconds duration) {
  std::unique_lock lock(mutex);
  if (pulls.size() >= kMostPulls || ending) return "";
  const WallTime begin = clock.WallNow();
  pulls.push_back({.begin = begin, .end = begin + duration, .sum = nullptr});
  const auto pull = std::prev(pulls.end());
  hooks.cut_window();
  const MonotonicTime end = clock.Now() + duration;
  changed.wait_until(lock, end, [&] { return ending || pull->has_end; });
  if (!ending) {
    hooks.cut_window();
    changed.wait_until(lock, end + kPatience, [&] { return ending || pull->has_end; });
  }
  const std::unique_ptr<LoadedProfile> sum = std::move(pull->sum);
  pulls.erase(pull);
  lock.unlock();  // the end must not wait for this
  if (sum != nullptr) return Gzip(EncodePprof(sum->profile, {.thread_labels = hooks.threads}));
  return Gzip(EncodePprof(Profile(begin, Nanoseconds(0)), {.thread_labels = hooks.threads}));
}

void AnswerProfile(Shared& shared, const httplib::Request& request, httplib::Response& response) {
  int seconds = kDefaultSeconds;
  if (request.has_param("seconds")) {
    const auto asked = ParseNumber<int>(request.get_param_value("seconds"));
    if (!asked || *asked < 1 || *asked > kMostSeconds) {
      response.status = 400;
      response.set_content(fmt::format("seconds must be from 1 to {}\n", kMostSeconds),
                           "text/plain");
      return;
    }
    seconds = *asked;
  }
  const std::string profile = shared.Collect(std::chrono::seconds(seconds));
  if (profile.empty()) {
    response.status = 503;
    response.set_content("too many profiles are being taken\n", "text/plain");
    return;
  }
  response.set_header("Content-Disposition", "attachment; filename=\"profile.pb.gz\"");
  response.set_content(profile, "application/octet-stream");
}

void AddRoutes(Shared& shared) {
  httplib::Server& server = shared.server;
  server.Get("/debug/pprof/profile",
             [&shared](const httplib::Request& request, httplib::Response& response) {
               AnswerProfile(shared, request, response);
             });
  server.Get("/metrics", [&shared](const httplib::Request&, httplib::Response& response) {
    const std::lock_guard lock(shared.mutex);
    if (!shared.ending) response.set_content(shared.hooks.metrics(), "text/plain; version=0.0.4");
  });
  server.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  server.set_payload_max_length(0);
  // Before a body is read: one in pieces has no length that could be refused.
  server.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
    if (request.method == "GET" || request.method == "HEAD") {
      return httplib::Server::HandlerResponse::Unhandled;
    }
    response.status = 405;
    response.set_header("Connection", "close");
    return httplib::Server::HandlerResponse::Handled;
  });
  // Not SO_REUSEPORT, which httplib sets: two agents would share a port unseen.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  server.set_keep_alive_max_count(1);  // an idle connection would hold up the end
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
}

class HttpPullServer final : public PullServer {
 public:
  explicit HttpPullServer(Hooks hooks) : shared_(std::make_shared<Shared>(std::move(hooks))) {}
  ~HttpPullServer() override { HttpPullServer::Finish(shared_->clock.Now()); }

  Result<void> Listen(const ListenAddress& address) {
    AddRoutes(*shared_);
    int port = address.port;
    if (port == 0) {
      port = shared_->server.bind_to_any_port(address.host);
    } else if (!shared_->server.bind_to_port(address.host, port)) {
      port = -1;
    }
    const bool is_ipv6 = address.host.find(':') != std::string::npos;
    place_ = fmt::format("{}{}{}:{}", is_ipv6 ? "[" : "", address.host, is_ipv6 ? "]" : "",
                         port > 0 ? port : address.port);
    if (port <= 0) return FailErrno("cannot listen", place_);
    const SignalsBlocked blocked;
    try {
      thread_ = std::thread([shared = shared_] {
        ::pthread_setname_np(::pthread_self(), "agent-listen");
        shared->server.listen_after_bind();
        const std::lock_guard lock(shared->mutex);
        shared->done = true;
        shared->changed.notify_all();
      });
    } catch (const std::system_error& error) {
      return Fail(Errc::kSystem, "cannot listen", error.what());
    }
    return {};
  }

  [[nodiscard]] std::string Place() const override { return place_; }

  void Write(const Profile& window) override { shared_->Take(window); }

  void Finish(MonotonicTime deadline) override {
    if (!thread_.joinable()) return;
    std::unique_lock lock(shared_->mutex);
    shared_->ending = true;
    shared_->changed.notify_all();
    lock.unlock();
    shared_->server.stop();
    lock.lock();
    const MonotonicTime until = std::min(deadline, shared_->clock.Now() + kFarewell);
    const bool done = shared_->changed.wait_until(lock, until, [this] { return shared_->done; });
    lock.unlock();
    if (done) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

 private:
  const std::shared_ptr<Shared> shared_;
  std::string place_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<PullServer>> PullServer::Start(const ListenAddress& address, Hooks hooks) {
  auto server = std::make_unique<HttpPullServer>(std::move(hooks));
  AGENT_CHECK_OK(server->Listen(address));
  return server;
}

}  // namespace agent
