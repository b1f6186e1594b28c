// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/error.h"
#include "agent/profile/profile.h"
#include "uploader/window_parts.h"

namespace agent {

/// A window, or a part of one, as it waits to be sent: in the one form that all others are made
/// from.
struct UploadWindow {
  std::shared_ptr<const std::string> pprof;  ///< Gzipped.
  std::shared_ptr<const Labels> labels;
  WallTime start;
  Nanoseconds duration{0};
  std::int64_t samples = 0;
};

/// `part` of `window`, packed.
[[nodiscard]] UploadWindow PackWindow(const Profile& window, const WindowPart& part,
                                      std::shared_ptr<const Labels> labels);

/// The unpacked pprof.
[[nodiscard]] Result<std::string> UnpackWindow(const UploadWindow& window);

/// Both windows, of the same labels, as one that begins with the first. Nothing when that is above
/// the limits, or one of them cannot be read.
[[nodiscard]] std::optional<UploadWindow> MergeWindows(const UploadWindow& first,
                                                       const UploadWindow& second,
                                                       const WindowLimits& limits = {});

}  // namespace agent
