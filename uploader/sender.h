// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "agent/base/clock.h"
#include "uploader/delivery.h"
#include "uploader/transport.h"

namespace agent {

/// Sends to one server from a thread of its own: a server that hangs holds up no other.
class Sender {
 public:
  /// A thread that cannot be had is warned of, and nothing is then sent.
  Sender(Delivery delivery, std::unique_ptr<Transport> transport, Nanoseconds request_limit);
  ~Sender();
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  /// Queues; never waits for the network.
  void Push(std::vector<UploadWindow> windows);
  /// The run is over: what is queued is tried at once, until `deadline`.
  void BeginEnd(MonotonicTime deadline);
  /// Waits for that, then counts what is left. Never later than the deadline by more than a moment,
  /// whatever the server does: a thread that is stuck in a name look-up is left behind. It touches
  /// nothing but what it owns a share of, but a process that has called this ends by _exit, since
  /// the thread may use objects with static storage.
  void AwaitEnd(MonotonicTime deadline);
  [[nodiscard]] UploadCounters Counters() const;

 private:
  struct Shared;

  // Shared with the thread, which is left behind where it does not return in time.
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace agent
