// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/base/types.h"

namespace agent {

struct DoctorPlan {
  Pid pid{};                         ///< 0: not a process that runs.
  std::vector<std::string> program;  ///< What exec would run: only its file is looked at.
};

/// Tries what sampling needs, on the process, or on a child of ours in the program's place. Prints
/// a line for each thing, and below what blocks how to mend it. Returns the status to exit with:
/// 0 when sampling works, 1 when not.
[[nodiscard]] int RunDoctor(const DoctorPlan& plan);

}  // namespace agent
