// SPDX-License-Identifier: Apache-2.0
// The pprof part of the test receiver: decodes by the field numbers of profile.proto, with none of
// the agent's code, and holds a profile to what Pyroscope demands of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace receiver {

struct Values {
  std::int64_t samples = 0;
  std::int64_t cpu_ns = 0;
};

struct PprofSummary {
  std::int64_t time_ns = 0;
  std::int64_t duration_ns = 0;
  std::int64_t period = 0;
  std::vector<std::string> types;  ///< "cpu/nanoseconds"
  std::string period_type;
  std::size_t sample_count = 0;  ///< Of Sample messages.
  std::size_t deep_stacks = 0;   ///< Those that the server would cut.
  Values total;
  std::map<std::string, Values>
      functions;  ///< By name, with what they called; recursion counts once.
  std::vector<std::string> comments;
  std::size_t sample_labels = 0;
  std::map<std::string, Values> by_label;  ///< By "key=text", of text labels.
};

/// Raw or gzipped. The error says which rule was broken.
[[nodiscard]] std::expected<PprofSummary, std::string> CheckPprof(std::string_view data);

/// Gunzips `data`, up to `max_bytes` of it.
[[nodiscard]] std::expected<std::string, std::string> Gunzip(std::string_view data,
                                                             std::size_t max_bytes);

}  // namespace receiver
