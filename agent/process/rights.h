// SPDX-License-Identifier: Apache-2.0
// What the kernel asks of who looks into another process (ptrace(2), "Ptrace access mode
// checking"): found out without stopping it, and said so that a user can mend it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/types.h"

namespace agent {

/// What can be seen of our rights over one process. errno values are 0 where the call worked.
struct RightsFacts {
  struct Side {
    std::string uids;  ///< Real, effective, saved, file system, as status has them.
    std::string gids;
    std::uint64_t permitted = 0;  ///< Capabilities (capabilities(7)).
    std::uint64_t effective = 0;
  };
  Side own;
  Side target;
  bool same_user_namespace = true;  ///< Also where it cannot be told.
  bool dumpable = true;             ///< prctl(2), PR_SET_DUMPABLE. Also where it cannot be told.
  std::optional<int> yama;          ///< kernel.yama.ptrace_scope; none: no Yama.
  bool is_descendant = false;
  Pid tracer{};  ///< Who traces it already; 0: nobody.
  /// Calls on ourselves, which only a seccomp filter (or a kernel without them) refuses.
  int ptrace_refused = 0;
  int readv_refused = 0;
  /// Calls on the process.
  int seize_errno = 0;
  int readv_errno = 0;
  int mem_errno = 0;
};

/// kGone without such a process, kUnreadable without /proc. `yama_file` is for tests.
[[nodiscard]] Result<RightsFacts> GatherRights(
    Pid target, const std::string& yama_file = "/proc/sys/kernel/yama/ptrace_scope");

/// One thing that was looked at.
struct RightsLine {
  std::string subject;
  bool ok = true;
  std::string found;
  /// How to mend it, where it blocks: each what to write, "" where that does not help.
  struct Cure {
    std::string dockerfile;
    std::string docker_run;
    std::string compose;
    std::string pod;
    std::string elsewhere;  ///< In plain words, outside containers.
  } cure;
};

struct RightsReport {
  bool works = true;  ///< Whether the process can be sampled.
  std::vector<RightsLine> lines;
};

[[nodiscard]] RightsReport JudgeRights(const RightsFacts& facts);

/// The first thing that blocks, with its cure, in one line.
[[nodiscard]] std::string WhyNotPermitted(Pid target);

}  // namespace agent
