// SPDX-License-Identifier: Apache-2.0
// A run in a few lines, for people.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/profile/measure.h"
#include "agent/profile/profile.h"
#include "agent/report/run_facts.h"

namespace agent {

struct SummaryStyle {
  std::string_view prefix;  ///< Of lines that are not the table's: "agent: " on stderr.
  std::size_t max_functions = 5;
  Measure measure = {};  ///< None: the profile's main one.
};

/// What was sampled and what was lost, what it cost, and the functions with the most time of their
/// own (self) with the time of what they called (total; recursion counts once). Much code without
/// a name becomes a line below. At most 4 lines beside the functions. Ends in a newline.
[[nodiscard]] std::string FormatSummary(const Profile& profile, const RunFacts& facts,
                                        const SummaryStyle& style = {});

}  // namespace agent
