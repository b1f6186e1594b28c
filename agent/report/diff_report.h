// SPDX-License-Identifier: Apache-2.0
// Two profiles compared, function by function.
#pragma once

#include <string>
#include <vector>

#include "agent/profile/profile.h"
#include "agent/report/function_costs.h"

namespace agent {

/// A function in both runs. Shares are of each run's whole, so that runs of different length can be
/// compared.
struct FunctionChange {
  const Function* function = nullptr;
  FunctionCost before;  ///< All 0: it is new.
  FunctionCost after;   ///< All 0: it has vanished.
  double self_share_before = 0;
  double self_share_after = 0;
  double total_share_before = 0;
  double total_share_after = 0;
};

/// Functions are the same where name and file are: lines move when a program is edited. The largest
/// change of the self share first.
[[nodiscard]] std::vector<FunctionChange> CompareFunctions(const Profile& before,
                                                           const Profile& after,
                                                           const Measure& measure);

/// For a terminal; ends in a newline.
[[nodiscard]] std::string FormatDiff(const Profile& before, const Profile& after,
                                     const Measure& measure, std::size_t max_functions = 30);

}  // namespace agent
