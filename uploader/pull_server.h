// SPDX-License-Identifier: Apache-2.0
// Serves profiles and figures to those who come for them: Alloy, Parca, go tool pprof, Prometheus.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/profile/profile.h"
#include "uploader/listen_address.h"

namespace agent {

/// GET /debug/pprof/profile?seconds=N (1 to 600; 30 when not given) answers after N seconds with a
/// gzipped pprof of that time, at the program's end with what there is; /metrics in Prometheus'
/// text form; /healthz. From threads of its own. No window is kept while nobody asks.
class PullServer : public ProfileSink {
 public:
  struct Hooks {
    std::function<void()> cut_window;      ///< Ends the window that is growing, soon.
    std::function<std::string()> metrics;  ///< Prometheus' text.
    bool threads = false;                  ///< Each sample's thread as labels.
  };

  /// Both hooks are called from other threads, one at a time, and not after Finish. kSystem, with a
  /// text for the user, when the address cannot be had.
  static Result<std::unique_ptr<PullServer>> Start(const ListenAddress& address, Hooks hooks);

  /// Where it listens: "127.0.0.1:6061".
  [[nodiscard]] virtual std::string Place() const = 0;
  /// Answers those who wait, and ends. Not later than the deadline: a client that does not read is
  /// left behind with the thread that serves it (see Sender::AwaitEnd).
  virtual void Finish(MonotonicTime deadline) = 0;
};

}  // namespace agent
