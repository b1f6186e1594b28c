// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/profile/profile.h"
#include "agent/report/run_facts.h"

namespace agent {

/// The closing summary for programs. Keys stay as they are:
///   facts: as FactsJson
///   measure: what self and total are of: "cpu" or "wall" (seconds), or "samples"
///   total: of the whole run
///   functions: [{name, file, line, self, total}], all of them, most costly first; line is the
///   function's first, null where it is not known
[[nodiscard]] std::string SummaryJson(const Profile& profile, const RunFacts& facts);

}  // namespace agent
