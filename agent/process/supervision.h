// SPDX-License-Identifier: Apache-2.0
// What the keeper and the sampler share: the page of the watchdog, and the keeper's orders.
// design: keeper ── sampler ── launcher ── target.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"
#include "agent/base/unique_fd.h"
#include "agent/process/run_as.h"

namespace agent {

/// One page, MAP_SHARED between keeper and sampler. The sampler writes, the keeper reads; all
/// relaxed. Times are CLOCK_MONOTONIC in ns, 0 for "nothing".
struct SharedPage {
  /// When the sampler began to hold a thread stopped (set before PTRACE_INTERRUPT, 0 after the
  /// detach).
  std::atomic<std::int64_t> holding_since{0};
  /// When the sampler last looked after its pending list (threads told to stop that missed their
  /// deadline); 0 when it is empty.
  std::atomic<std::int64_t> pending_since{0};
  /// The thread that stops others; 0 before it has begun.
  std::atomic<pid_t> sampling_thread{0};
  /// Samples read so far, and those of them that a death of the sampler would not lose: they are
  /// in a file, at the server or in the spool.
  std::atomic<std::uint64_t> samples_taken{0};
  std::atomic<std::uint64_t> samples_delivered{0};
};

/// What the keeper tells the sampler, one message each over a SOCK_SEQPACKET socket. End of file on
/// the socket means kFinish too.
struct KeeperOrder {
  enum class Kind : std::uint32_t {
    kFlush,   ///< The program was asked to end: send the window so far now, go on sampling.
    kFinish,  ///< The program has ended (or `connect` was told to stop): write all, end within a
              ///< second.
  };
  Kind kind = Kind::kFinish;
  /// kFinish: CPU time of the ended processes of the tree as wait4 said it (user + system, ns), or
  /// -1 if unknown.
  std::int64_t tree_cpu_ns = -1;
};

/// What a sampler process starts with. The sampler is in its own session, every signal is blocked,
/// SIGCHLD is at its default; fds 0 and 1 are /dev/null; fd 2 is the user's stderr; no other
/// inherited descriptor is open.
struct SamplerStart {
  Pid target{};     ///< The launched program, or the process to connect to; 0: several.
  Pid launcher{};   ///< Orphans of the tree become its children; 0 for `connect`.
  int orders = -1;  ///< Read end: KeeperOrder.
  int go = -1;  ///< Close it when ready: the program then execs (it does after 300 ms anyway). -1:
                ///< it runs already.
  int output = -1;  ///< The user's stdout, where the sampler was given it (TakenOutput).
  SharedPage* page = nullptr;
  bool restarted = false;  ///< An earlier sampler died.
};
/// The sampler's life; what it returns is its exit status (0: all well).
using SamplerMain = std::function<int(const SamplerStart&)>;

/// Whether the sampler of a program that runs as another user becomes that user too, since it could
/// not look into it otherwise.
[[nodiscard]] bool FollowsProgram();

/// For a sampler that shows something: it may write to the user's stdout, by SamplerStart::output.
/// What the keeper calls, each with the same descriptor; nothing: not called.
struct TakenOutput {
  std::function<void(int output)> before_stop = nullptr;  ///< The keeper is about to stop (Ctrl-Z).
  std::function<void(int output)> after_stop = nullptr;   ///< It runs on.
  std::function<void(int output)> at_end = nullptr;       ///< There is no sampler any more.
};

struct LaunchOptions {
  std::optional<RunAs> run_as = std::nullopt;
  /// The sampler has the user's stdout. The program reads from /dev/null, and what it writes to
  /// stdout and stderr is held back (HeldOutput) and shown at the end.
  std::optional<TakenOutput> taken_output = std::nullopt;
};

/// Launches `argv` under a keeper, this very process, and never returns: it ends as the program
/// ended. Exits with 127 or 126 when exec fails, after one line on stderr, as a shell does.
/// With `run_as` the program is that user's; where the kernel lets only such a process look into it
/// (no CAP_SYS_PTRACE), the sampler is too.
/// Where no sampler can be started the program runs without one; with `taken_output` it does not.
[[noreturn]] void RunLaunched(const std::vector<std::string>& argv, const LaunchOptions& options,
                              const SamplerMain& sampler);

/// `connect`: runs `sampler` on a process that exists (0: it finds them itself), under a keeper.
/// SIGINT, SIGTERM and SIGHUP make it finish. Never returns: ends with the sampler's status.
[[noreturn]] void RunConnected(Pid pid, const std::optional<TakenOutput>& taken_output,
                               const SamplerMain& sampler);

}  // namespace agent
