// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <string_view>

#include "agent/base/error.h"
#include "agent/profile/profile.h"

namespace agent {

/// A profile that owns what its frames point to.
struct PprofContents {
  std::unique_ptr<FunctionTable> functions = std::make_unique<FunctionTable>();
  std::deque<Module> modules;
  Profile profile{WallTime::max(), Nanoseconds(0)};
};

/// Adds what EncodePprof wrote (not compressed): cpu/nanoseconds, samples/count and
/// wall/nanoseconds by their names, threads by their labels, losses by their comment. The profile
/// then covers the time of both. All of it counts as hostile: it may come from a file. kMalformed
/// when it is no profile, or one with other sample types only; the contents are of no use then.
[[nodiscard]] Result<void> AddPprof(std::string_view data, PprofContents& contents);

/// The same for one profile alone.
[[nodiscard]] Result<PprofContents> ReadPprof(std::string_view data);

}  // namespace agent
