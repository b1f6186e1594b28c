// SPDX-License-Identifier: Apache-2.0
// Sends windows to one or more servers, from threads of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/profile/profile.h"
#include "uploader/http_options.h"
#include "uploader/transport.h"
#include "uploader/upload_counters.h"
#include "uploader/upload_format.h"

namespace agent {

struct UploadOptions {
  std::vector<std::string> servers;  ///< "http://host:4040", "https://host/prefix/"; checked by
                                     ///< ParseServerAddress.
  Labels labels;                     ///< Of every window: service_name, hostname, user tags.
  std::vector<UploadFormat> formats = {UploadFormat::kPush};  ///< Of ParseUploadFormat.
  HttpOptions http;
  bool threads = false;                  ///< Send each sample's thread as labels (WindowOptions).
  std::size_t queue_bytes = 16u << 20;   ///< For each server, in memory.
  std::string spool;                     ///< A folder; "": none.
  std::size_t spool_bytes = 256u << 20;  ///< For each server, there.
};

/// A server as messages show it, and what became of the windows for it.
struct ServerCounters {
  std::string server;
  UploadCounters counters;
};

/// A ProfileSink whose Write encodes and queues, and never blocks on the network.
class Uploader : public ProfileSink {
 public:
  /// Never fails: an address, a spool or a thread that cannot be had is warned of, and windows then
  /// count as lost. Call it while there is one thread only (see MakeHttpTransport).
  static std::unique_ptr<Uploader> Start(const UploadOptions& options);
  /// The same over a transport of the caller's, instead of servers.
  static std::unique_ptr<Uploader> Start(const UploadOptions& options,
                                         std::unique_ptr<Transport> transport);

  /// The run is over, and no window comes any more: what is queued is tried at once. Finish does so
  /// too; called before it, this gives the senders the time that writing files takes.
  virtual void BeginEnd(MonotonicTime deadline) = 0;
  /// Sends what is queued until `deadline`, then ends the threads; what is left is counted. See
  /// Sender::AwaitEnd for what that asks of the process.
  virtual std::vector<ServerCounters> Finish(MonotonicTime deadline) = 0;
  /// As they stand. From any thread.
  [[nodiscard]] virtual std::vector<ServerCounters> Counters() const = 0;
};

}  // namespace agent
