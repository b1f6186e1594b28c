// SPDX-License-Identifier: Apache-2.0
#include "uploader/upload_window.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "agent/format/gzip.h"
#include "agent/format/loaded_profile.h"

namespace agent {
namespace {

// Far above what EncodeWindow makes.
constexpr std::size_t kMaxUnpacked = 64u << 20;

Result<std::unique_ptr<LoadedProfile>> Read(const UploadWindow& window) {
  AGENT_TRY(const std::string pprof, UnpackWindow(window));
  return DecodePprof(pprof);
}

}  // namespace

UploadWindow PackWindow(const Profile& window, const WindowPart& part,
                        std::shared_ptr<const Labels> labels) {
  return {.pprof = std::make_shared<const std::string>(Gzip(part.pprof)),
          .labels = std::move(labels),
          .start = part.start,
          .duration = window.duration(),
          .samples = part.samples};
}

Result<std::string> UnpackWindow(const UploadWindow& window) {
  if (window.pprof == nullptr) return Fail(Errc::kUnreadable, "the window is gone");
  return Gunzip(*window.pprof, kMaxUnpacked);
}

std::optional<UploadWindow> MergeWindows(const UploadWindow& first, const UploadWindow& second,
                                         const WindowLimits& limits) {
  const auto sum = Read(first);
  const auto more = Read(second);
  if (!sum || !more) return std::nullopt;
  AddProfile(**sum, **more);
  Profile& merged = (*sum)->profile;
  merged.set_duration(std::max(first.start + first.duration, second.start + second.duration) -
                      first.start);
  const bool threads = std::ranges::any_of(merged.Entries(), [&](const Profile::Entry& entry) {
    return merged.Thread(entry.key.thread).tid != Tid{};
  });
  std::vector<WindowPart> parts = EncodeWindow(merged, limits, {.threads = threads});
  if (parts.size() != 1) return std::nullopt;
  return PackWindow(merged, parts.front(), first.labels);
}

}  // namespace agent
