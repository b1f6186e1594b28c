// SPDX-License-Identifier: Apache-2.0
// What the environment says of debuginfod, as elfutils has it (debuginfod_find_debuginfo(3)).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/settings.h"
#include "symbolizer/debug_fetcher.h"

namespace agent {

/// The addresses in DEBUGINFOD_URLS, which are parted by white space. What else it may hold (the
/// policy on signatures, "ima:enforcing") is passed over.
[[nodiscard]] std::vector<std::string> DebuginfodUrls(std::string_view urls);
/// DEBUGINFOD_CACHE_PATH, else debuginfod_client in XDG_CACHE_HOME or ~/.cache; "" when none of
/// these is known.
[[nodiscard]] std::string DebuginfodCache(const GetEnvironment& get_environment);
/// Null, and the user is told, when there is no server. While there is one thread only.
[[nodiscard]] std::unique_ptr<DebugFetcher> StartDebuginfod(const GetEnvironment& get_environment);

}  // namespace agent
