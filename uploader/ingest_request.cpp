// SPDX-License-Identifier: Apache-2.0
#include "uploader/ingest_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "agent/format/folded_encoder.h"
#include "uploader/push_request.h"

namespace agent {
namespace {

constexpr Nanoseconds kFoldedUnit = std::chrono::microseconds(1);
constexpr int kFoldedRate = 1'000'000;

std::string QueryEscaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

// What the parser of names takes: there is no way to quote.
std::string Plain(std::string_view text, std::string_view refused) {
  std::string plain(text);
  std::ranges::replace_if(
      plain, [&](char c) { return refused.find(c) != std::string_view::npos; }, '_');
  return plain;
}

// "service{key=value,...}"
std::string NameIn(const Labels& labels, std::string_view suffix) {
  std::string service = "unknown_service";
  std::string rest;
  for (const auto& [key, value] : labels) {
    if (key == "service_name") {
      service = value;
    } else {
      rest += fmt::format("{}{}={}", rest.empty() ? "" : ",", key, Plain(value, ",}"));
    }
  }
  for (char& c : service) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("_.-/").find(c) != std::string_view::npos;
    if (!plain) c = '_';
  }
  return fmt::format("{}{}{{{}}}", service, suffix, rest);
}

std::string Path(const UploadWindow& window, std::string_view suffix, std::string_view format,
                 int rate) {
  // 19 digits are nanoseconds there.
  return fmt::format(
      "/ingest?name={}&from={}&until={}&format={}&sampleRate={}&spyName=agent&units=samples"
      "&aggregationType=sum",
      QueryEscaped(NameIn(*window.labels, suffix)), window.start.time_since_epoch().count(),
      (window.start + window.duration).time_since_epoch().count(), format, rate);
}

}  // namespace

HttpRequest IngestPprofRequest(const UploadWindow& window) {
  constexpr int kUnusedRate = 100;
  const std::string boundary = "agent-" + NewUuid();
  return {.path = Path(window, "", "pprof", kUnusedRate),
          .content_type = "multipart/form-data; boundary=" + boundary,
          .content_encoding = "",
          .body = fmt::format("--{0}\r\n"
                              "Content-Disposition: form-data; name=\"profile\"; "
                              "filename=\"profile.pprof\"\r\n"
                              "Content-Type: application/octet-stream\r\n\r\n"
                              "{1}\r\n--{0}--\r\n",
                              boundary, *window.pprof)};
}

HttpRequest IngestFoldedRequest(const UploadWindow& window, const Profile& profile) {
  return {.path = Path(window, ".cpu", "folded", kFoldedRate),
          .content_type = "text/plain",
          .content_encoding = "",
          .body = EncodeFolded(profile, kFoldedUnit)};
}

}  // namespace agent
