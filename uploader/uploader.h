// SPDX-License-Identifier: Apache-2.0
// Sends windows to a Pyroscope server from a thread of its own.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/profile/profile.h"
#include "uploader/server_address.h"
#include "uploader/transport.h"
#include "uploader/upload_counters.h"

namespace agent {

struct UploadOptions {
  std::string server_address;  ///< "http://host:4040", "https://host/prefix/"; checked by
                               ///< ParseServerAddress.
  Labels labels;               ///< Of every window: service_name, hostname, user tags.
  bool threads = false;        ///< Send each sample's thread as labels (WindowOptions).
  std::size_t queue_bytes = 16u << 20;
};

/// A ProfileSink whose Write encodes and queues, and never blocks on the network.
class Uploader : public ProfileSink {
 public:
  /// Never fails: an address or a thread that cannot be had is warned of, and every window then
  /// counts as lost. Call it while there is one thread only (see MakeHttpTransport).
  static std::unique_ptr<Uploader> Start(UploadOptions options);
  /// The same over a transport of the caller's.
  static std::unique_ptr<Uploader> Start(UploadOptions options,
                                         std::unique_ptr<Transport> transport);

  /// Sends what is queued until `deadline`, then ends the thread; what is left is counted as lost.
  /// Never later than the deadline by more than a moment, whatever the server does: a thread that
  /// is stuck in a name look-up is left behind. It touches nothing but what it owns a share of, but
  /// a process that has called this ends by _exit, since the thread may use objects with static
  /// storage.
  virtual UploadCounters Finish(MonotonicTime deadline) = 0;
};

}  // namespace agent
