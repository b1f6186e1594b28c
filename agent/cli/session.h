// SPDX-License-Identifier: Apache-2.0
// One run of the sampler process: sinks, spies, sampling, closing lines.
#pragma once

#include <string>
#include <vector>

#include "agent/cli/settings.h"
#include "agent/process/supervision.h"
#include "agent/report/run_file.h"

namespace agent {

struct SessionPlan {
  Settings settings;
  std::string application_name;
  std::vector<RunFile> outputs;      ///< Files of the whole run.
  bool summary = false;              ///< A table on stderr at the end.
  std::vector<std::string> command;  ///< exec: the program and its arguments.
};

/// The sampler's life. Returns its exit status: 0, or 1 when nothing could be sampled at all (said
/// on stderr).
int RunSession(const SessionPlan& plan, const SamplerStart& start);

}  // namespace agent
