// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "agent/profile/profile.h"

namespace agent {

/// An ExportProfilesServiceRequest of OTLP's profiles (opentelemetry-proto v1.10 and v1.11,
/// profiles/v1development), not compressed. One profile for each sample type, over one dictionary:
/// cpu/nanoseconds and samples/count, with --wall wall/nanoseconds; period type cpu/nanoseconds.
/// `labels` are attributes of the resource, service_name as "service.name"; threads that have an id
/// are attributes of their samples. `id` makes the profiles' ids: random, but not zero.
[[nodiscard]] std::string EncodeOtlp(const Profile& profile, const Labels& labels,
                                     std::array<std::byte, 16> id);

}  // namespace agent
