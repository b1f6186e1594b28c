// SPDX-License-Identifier: Apache-2.0
// Profiles from files: this agent's own and those of other tools.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/profile/profile.h"

namespace agent {

/// A profile with all that it points to. A file that tells no times has samples only (its values
/// are counts).
struct LoadedProfile {
  FunctionTable functions;
  std::deque<Module> modules;
  Profile profile{WallTime(), std::chrono::milliseconds(100)};
  std::vector<std::string> comments;  ///< What the writer noted, for people.
  std::string facts;                  ///< PprofOptions::facts; "": none.
};

/// Reads pprof (gzipped or not), collapsed stacks or speedscope JSON: the content says which.
/// kUnreadable, kMalformed or kInvalid (no CPU time, wall time or samples in it) with a text for
/// the user that names the file.
[[nodiscard]] Result<std::unique_ptr<LoadedProfile>> LoadProfile(const std::string& path);

/// Adds `more` to `sum`, which then has functions and modules of its own for all of it.
void AddProfile(LoadedProfile& sum, const LoadedProfile& more);

/// What a file may make of memory: deeper stacks and more of all are refused (kLimit).
inline constexpr std::size_t kMostFrames = 10'000;
inline constexpr std::size_t kMostProfileBytes = 1u << 30;

/// `sum` += `more`; kLimit where one of the sums would be above INT64_MAX / 4, which leaves room
/// for what is computed of it. `more` has no negative value, and none above INT64_MAX / 2.
[[nodiscard]] Result<void> AddWithinLimit(SampleValue& sum, const SampleValue& more);

/// Reads from memory.
[[nodiscard]] Result<std::unique_ptr<LoadedProfile>> ParseProfile(std::string_view bytes);

/// Of one format; `bytes` not compressed.
[[nodiscard]] Result<std::unique_ptr<LoadedProfile>> DecodePprof(std::string_view bytes);
[[nodiscard]] Result<std::unique_ptr<LoadedProfile>> DecodeFolded(std::string_view text);
[[nodiscard]] Result<std::unique_ptr<LoadedProfile>> DecodeSpeedscope(std::string_view json);

}  // namespace agent
