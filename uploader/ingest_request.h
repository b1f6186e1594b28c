// SPDX-License-Identifier: Apache-2.0
// Requests to /ingest (grafana/pyroscope pkg/ingester/pyroscope/ingest_handler.go), which takes no
// Content-Encoding.
#pragma once

#include "agent/profile/profile.h"
#include "uploader/http_request.h"
#include "uploader/upload_window.h"

namespace agent {

/// The gzipped pprof as a file part of a form. The server makes the profile's type from the sample
/// types; the name is the service's own.
[[nodiscard]] HttpRequest IngestPprofRequest(const UploadWindow& window);

/// CPU time as collapsed stacks, in microseconds: the server multiplies each number by what
/// sampleRate says. The last part of the name, ".cpu", is the profile's type there.
[[nodiscard]] HttpRequest IngestFoldedRequest(const UploadWindow& window, const Profile& profile);

}  // namespace agent
