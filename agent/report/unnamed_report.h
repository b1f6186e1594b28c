// SPDX-License-Identifier: Apache-2.0
// What is told of addresses without a name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "agent/profile/unnamed.h"

namespace agent {

/// "stripped, and no debug file was found"
[[nodiscard]] std::string_view ReasonText(UnnamedReason reason);

/// "/usr/lib/libfoo.so.1 (build id 12ab): 3 addresses without a name, 40 samples in them: why".
/// No line end.
[[nodiscard]] std::string DescribeUnnamed(const UnnamedCode& code);

/// One line for the closing summary: the share of the run's `samples` that were in code without a
/// name, the module with the most of them, and what helps. "" while it is less than one in a
/// hundred. No line end.
[[nodiscard]] std::string UnnamedLine(std::span<const UnnamedCode> codes, std::int64_t samples);

}  // namespace agent
