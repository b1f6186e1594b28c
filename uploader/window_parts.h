// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/profile/profile.h"

namespace agent {

/// What a server takes in one profile (Pyroscope's defaults, per tenant).
struct WindowLimits {
  std::size_t samples = 16'000;
  /// A profile above the rate limit's burst (2 MB) can never pass; this leaves room for its labels.
  std::size_t bytes = 1'500'000;
};

/// A window, or part of it, as pprof.
struct WindowPart {
  std::string pprof;
  WallTime start;
  std::int64_t samples = 0;
};

/// What of a window is sent.
struct WindowOptions {
  bool threads = false;  ///< Each sample's thread, as labels; else samples are summed over threads.
};

/// The window as one profile or, above the limits, as several. Parts start a nanosecond apart: of
/// profiles with the same labels and time the server keeps one. The first carries the losses. None
/// when there is nothing to tell.
[[nodiscard]] std::vector<WindowPart> EncodeWindow(const Profile& window,
                                                   const WindowLimits& limits = {},
                                                   const WindowOptions& options = {});

}  // namespace agent
