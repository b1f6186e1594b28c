// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "uploader/uploader.h"

namespace agent {

/// The figures of a run in Prometheus' text form (exposition format 0.0.4): samples taken, and per
/// server what was sent, lost by cause, unknown, tried again, merged, and what the queue holds.
[[nodiscard]] std::string FormatMetrics(std::uint64_t samples_taken,
                                        std::span<const ServerCounters> servers);

}  // namespace agent
