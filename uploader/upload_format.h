// SPDX-License-Identifier: Apache-2.0
// The forms in which receivers take profiles.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "uploader/http_request.h"
#include "uploader/upload_window.h"

namespace agent {

enum class UploadFormat : std::uint8_t {
  kPush,    ///< Pyroscope's push.v1, of 1.0 and later.
  kPprof,   ///< Its /ingest with a multipart pprof.
  kFolded,  ///< Its /ingest with collapsed stacks: names and CPU time only. What the oldest take.
  kOtlp,    ///< OpenTelemetry profiles (v1development) over HTTP.
};

/// "push", "pprof", "folded", "otlp".
[[nodiscard]] std::string_view NameOf(UploadFormat format);
/// What is tried in turn: "auto" is push, pprof, folded; else the one that is named. Empty: there
/// is none of this name.
[[nodiscard]] std::vector<UploadFormat> ParseUploadFormat(std::string_view name);

/// The window as a request in `format`, as the receivers' documents and sources have it. Random ids
/// apart, the same window gives the same request. An error when the window cannot be read.
[[nodiscard]] Result<HttpRequest> MakeUploadRequest(const UploadWindow& window,
                                                    UploadFormat format);

}  // namespace agent
