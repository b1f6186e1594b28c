// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "agent/profile/profile.h"

namespace agent {

/// Sixteen random bytes as a version 4 UUID (RFC 9562, 5.4).
[[nodiscard]] std::string FormatUuid(std::array<std::byte, 16> random);
[[nodiscard]] std::string NewUuid();
[[nodiscard]] std::array<std::byte, 16> RandomBytes();

/// A push.v1 PushRequest (grafana/pyroscope api/push/v1/push.proto) of one series, __name__
/// process_cpu, with one pprof profile. Not compressed.
[[nodiscard]] std::string EncodePushRequest(const Labels& labels, std::string_view pprof,
                                            std::string_view id);

}  // namespace agent
