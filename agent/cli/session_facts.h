// SPDX-License-Identifier: Apache-2.0
// What a session can tell of itself: from the machine, the process and the sampler's report.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/process/cgroup_cpu.h"
#include "agent/process/supervision.h"
#include "agent/profile/unnamed.h"
#include "agent/report/run_facts.h"
#include "agent/sampling/sampler.h"

namespace agent {

/// Made before the sampling begins: what `connect` is asked for may be gone at its end.
class SessionFacts {
 public:
  /// `command`: of `exec`; empty: read from the process.
  SessionFacts(const SamplerStart& start, std::string application_name,
               std::vector<std::string> command);

  [[nodiscard]] const RunFacts& at_start() const { return facts_; }
  /// All facts, when the run is over.
  [[nodiscard]] RunFacts AtEnd(const SamplerReport& report, std::vector<UnnamedCode> unnamed) const;

 private:
  RunFacts facts_;
  std::string cpu_stat_;  // of the program's cgroup
  std::optional<CpuThrottling> throttled_before_;
};

}  // namespace agent
