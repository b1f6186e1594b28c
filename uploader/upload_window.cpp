// SPDX-License-Identifier: Apache-2.0
#include "uploader/upload_window.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/format/gzip.h"
#include "agent/format/pprof_reader.h"

namespace agent {
namespace {

// Far above what EncodeWindow makes.
constexpr std::size_t kMaxUnpacked = 64u << 20;

Result<void> Add(const UploadWindow& window, PprofContents& contents) {
  AGENT_TRY(const std::string pprof, UnpackWindow(window));
  return AddPprof(pprof, contents);
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
  PprofContents contents;
  if (!Add(first, contents) || !Add(second, contents)) return std::nullopt;
  const Profile& merged = contents.profile;
  const bool threads = std::ranges::any_of(merged.Entries(), [&](const Profile::Entry& entry) {
    return merged.Thread(entry.key.thread).tid != Tid{};
  });
  std::vector<WindowPart> parts = EncodeWindow(merged, limits, {.threads = threads});
  if (parts.size() != 1) return std::nullopt;
  return PackWindow(merged, parts.front(), first.labels);
}

}  // namespace agent
