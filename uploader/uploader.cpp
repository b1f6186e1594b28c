// SPDX-License-Identifier: Apache-2.0
#include "uploader/uploader.h"

#include <random>
#include <utility>

#include "agent/base/log.h"
#include "uploader/delivery.h"
#include "uploader/http_transport.h"
#include "uploader/sender.h"
#include "uploader/server_address.h"
#include "uploader/window_parts.h"

namespace agent {
namespace {

Backoff RandomBackoff() {
  return Backoff([generator = std::minstd_rand(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0, 1)(generator);
  });
}

Delivery MakeDelivery(const UploadOptions& options, const std::string& server) {
  std::unique_ptr<Spool> spool;
  if (!options.spool.empty()) {
    if (auto opened = Spool::Open(options.spool, server)) {
      spool = *std::move(opened);
    } else {
      LogWarn("profiles are kept in memory only: {}", opened.error().Message());
    }
  }
  return {server,
          {.memory = options.queue_bytes, .disk = options.spool_bytes},
          RandomBackoff(),
          options.formats,
          std::move(spool)};
}

// Stands in for a server whose address is no address.
class NoTransport final : public Transport {
 public:
  Reply Post(const HttpRequest&, Nanoseconds) override {
    Reply reply;
    reply.trouble = "there is no valid server address";
    return reply;
  }
  void Cancel() override {}
};

class ThreadedUploader final : public Uploader {
 public:
  explicit ThreadedUploader(const UploadOptions& options)
      : labels_(std::make_shared<const Labels>(options.labels)),
        window_options_{.threads = options.threads} {}
  ~ThreadedUploader() override { ThreadedUploader::Finish(SystemClock().Now()); }

  void Add(std::string server, const UploadOptions& options, std::unique_ptr<Transport> transport) {
    Delivery delivery = MakeDelivery(options, server);
    servers_.push_back(
        {.name = std::move(server),
         .sender = std::make_unique<Sender>(std::move(delivery), std::move(transport),
                                            options.http.request_limit)});
  }

  void Write(const Profile& window) override {
    std::vector<UploadWindow> windows;
    for (const LabelledWindow& group : SplitByLabels(window)) {
      for (const WindowPart& part : EncodeWindow(group.window, {}, window_options_)) {
        windows.push_back(
            PackWindow(group.window, part, group.labels != nullptr ? group.labels : labels_));
      }
    }
    for (const Server& server : servers_) server.sender->Push(windows);
  }

  void BeginEnd(MonotonicTime deadline) override {
    for (const Server& server : servers_) server.sender->BeginEnd(deadline);
  }

  std::vector<ServerCounters> Finish(MonotonicTime deadline) override {
    BeginEnd(deadline);
    for (const Server& server : servers_) server.sender->AwaitEnd(deadline);
    return Counters();
  }

  [[nodiscard]] std::vector<ServerCounters> Counters() const override {
    std::vector<ServerCounters> counters;
    counters.reserve(servers_.size());
    for (const Server& server : servers_) {
      counters.push_back({.server = server.name, .counters = server.sender->Counters()});
    }
    return counters;
  }

 private:
  struct Server {
    std::string name;
    std::unique_ptr<Sender> sender;
  };

  const std::shared_ptr<const Labels> labels_;
  const WindowOptions window_options_;
  std::vector<Server> servers_;
};

}  // namespace

std::unique_ptr<Uploader> Uploader::Start(const UploadOptions& options) {
  // All before the first thread is there.
  std::vector<std::pair<std::string, std::unique_ptr<Transport>>> made;
  for (const std::string& server : options.servers) {
    const Result<ServerAddress> address = ParseServerAddress(server);
    if (!address) {
      LogWarn("the server address {}", address.error().Message());
      made.emplace_back("(no address)", std::make_unique<NoTransport>());
      continue;
    }
    if (address->tls && options.http.skip_verify) {
      LogWarn(
          "the certificate of {} is not checked (--tls-skip-verify): anybody on the way may "
          "read what is sent",
          address->Shown());
    }
    made.emplace_back(address->Shown(), MakeHttpTransport(*address, options.http));
  }
  auto uploader = std::make_unique<ThreadedUploader>(options);
  for (auto& [name, transport] : made) uploader->Add(name, options, std::move(transport));
  return uploader;
}

std::unique_ptr<Uploader> Uploader::Start(const UploadOptions& options,
                                          std::unique_ptr<Transport> transport) {
  auto uploader = std::make_unique<ThreadedUploader>(options);
  uploader->Add("the server", options, std::move(transport));
  return uploader;
}

}  // namespace agent
