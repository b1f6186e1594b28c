// SPDX-License-Identifier: Apache-2.0
// What Grafana Pyroscope 2.x accepts on its two push paths, and how it says no.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/receiver_pprof.h"

namespace receiver {

using Labels = std::vector<std::pair<std::string, std::string>>;

/// One profile that was accepted.
struct Accepted {
  Labels labels;
  std::string id;
  PprofSummary profile;
};

/// The answer to a request: status, and for an error what stands in the Connect JSON.
struct Verdict {
  int status = 200;
  std::string code;
  std::string message;
  std::vector<Accepted> profiles;
};

/// A push.v1 PushRequest, unpacked. `now` in nanoseconds of Unix time.
[[nodiscard]] Verdict JudgePush(std::string_view body, std::int64_t now);

/// /ingest with a pprof file part; `name` is the query's.
[[nodiscard]] Verdict JudgeIngestPprof(std::string_view name, std::string_view pprof,
                                       std::int64_t now);

/// A time of /ingest's query in nanoseconds: its length says the unit (10 digits: s, 13: ms, 16:
/// us, 19: ns).
[[nodiscard]] std::int64_t IngestTime(const std::string& text);

/// /ingest with collapsed stacks. `from` in nanoseconds.
[[nodiscard]] Verdict JudgeIngestFolded(std::string_view name, std::string_view body,
                                        std::int64_t from, std::int64_t sample_rate);

/// An ExportProfilesServiceRequest, unpacked. A profile for each sample type.
[[nodiscard]] Verdict JudgeOtlp(std::string_view body);

}  // namespace receiver
