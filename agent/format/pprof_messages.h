// SPDX-License-Identifier: Apache-2.0
// The messages of pprof's profile.proto as they stand in the file: numbers of strings and of other
// messages, checked by nobody yet. What we have no use for is left out.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace agent::pprof {

/// Strings by their numbers.
struct ValueType {
  std::int64_t type = 0;
  std::int64_t unit = 0;
};

struct RawFunction {
  std::int64_t name = 0;
  std::int64_t file = 0;
  std::int64_t start_line = 0;
};

struct RawLine {
  std::uint64_t function = 0;
  std::int64_t line = 0;
};

struct RawLocation {
  std::uint64_t mapping = 0;
  std::uint64_t address = 0;
  std::vector<RawLine> lines;  // innermost first
};

struct RawMapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;
  std::int64_t path = 0;
  std::int64_t build_id = 0;
};

struct RawLabel {
  std::int64_t key = 0;
  std::int64_t text = 0;
  std::int64_t number = 0;
};

struct RawSample {
  std::vector<std::uint64_t> locations;
  std::vector<std::int64_t> values;
  std::vector<RawLabel> labels;
};

/// Strings are parts of the bytes that it was read from. Messages by their ids; the first of an id
/// counts.
struct RawProfile {
  std::vector<std::string_view> strings;
  std::vector<ValueType> types;
  std::vector<RawSample> samples;
  std::vector<std::int64_t> comments;
  std::unordered_map<std::uint64_t, RawMapping> mappings;
  std::unordered_map<std::uint64_t, RawLocation> locations;
  std::unordered_map<std::uint64_t, RawFunction> functions;
  std::int64_t time_ns = 0;
  std::int64_t duration_ns = 0;
  std::int64_t period = 0;
  std::string_view agent_facts;  ///< Ours (kAgentFacts).

  /// "" where there is no such string.
  [[nodiscard]] std::string_view Text(std::int64_t id) const {
    const auto index = static_cast<std::uint64_t>(id);
    return index < strings.size() ? strings[index] : std::string_view();
  }
};

/// Throws what protozero throws (protozero::exception) where `bytes` are no such message.
[[nodiscard]] RawProfile ReadRawProfile(std::string_view bytes);

}  // namespace agent::pprof
