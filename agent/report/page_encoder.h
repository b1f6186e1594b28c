// SPDX-License-Identifier: Apache-2.0
// The report as one HTML page, which needs nothing but itself. Its sources are in page/.
#pragma once

#include <string>

#include "agent/profile/profile.h"
#include "agent/report/run_facts.h"

namespace agent {

/// What a comparison is about at first; the reader of the page may change it.
enum class CompareBy {
  kCpu,    ///< CPU time
  kWall,   ///< Time that threads were there
  kCount,  ///< Samples
};

/// One side of a comparison. What it refers to outlives the call.
struct Run {
  const Profile& profile;
  const RunFacts& facts;
};

[[nodiscard]] std::string EncodePage(const Profile& profile, const RunFacts& facts);

/// `after` beside `before`: frames are coloured by change.
[[nodiscard]] std::string EncodeDiffPage(const Run& before, const Run& after, CompareBy by);

}  // namespace agent
