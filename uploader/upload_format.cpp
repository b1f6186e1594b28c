// SPDX-License-Identifier: Apache-2.0
#include "uploader/upload_format.h"

#include <utility>

#include "agent/format/gzip.h"
#include "agent/format/loaded_profile.h"
#include "agent/format/otlp_encoder.h"
#include "uploader/ingest_request.h"
#include "uploader/push_request.h"

namespace agent {
namespace {

HttpRequest PushRequest(const UploadWindow& window, std::string_view pprof) {
  return {.path = "/push.v1.PusherService/Push",
          .content_type = "application/proto",
          .content_encoding = "gzip",
          .body = Gzip(EncodePushRequest(*window.labels, pprof, NewUuid()))};
}

HttpRequest OtlpRequest(const UploadWindow& window, const Profile& profile) {
  return {.path = "/v1development/profiles",
          .content_type = "application/x-protobuf",
          .content_encoding = "gzip",
          .body = Gzip(EncodeOtlp(profile, *window.labels, RandomBytes()))};
}

}  // namespace

std::string_view NameOf(UploadFormat format) {
  switch (format) {
    case UploadFormat::kPush:
      return "push";
    case UploadFormat::kPprof:
      return "pprof";
    case UploadFormat::kFolded:
      return "folded";
    case UploadFormat::kOtlp:
      return "otlp";
  }
  std::unreachable();
}

std::vector<UploadFormat> ParseUploadFormat(std::string_view name) {
  using enum UploadFormat;
  if (name == "auto") return {kPush, kPprof, kFolded};
  for (const UploadFormat format : {kPush, kPprof, kFolded, kOtlp}) {
    if (name == NameOf(format)) return {format};
  }
  return {};
}

Result<HttpRequest> MakeUploadRequest(const UploadWindow& window, UploadFormat format) {
  if (format == UploadFormat::kPprof) return IngestPprofRequest(window);
  AGENT_TRY(const std::string pprof, UnpackWindow(window));
  if (format == UploadFormat::kPush) return PushRequest(window, pprof);
  AGENT_TRY(const std::unique_ptr<LoadedProfile> loaded, DecodePprof(pprof));
  if (format == UploadFormat::kOtlp) return OtlpRequest(window, loaded->profile);
  return IngestFoldedRequest(window, loaded->profile);
}

}  // namespace agent
