// SPDX-License-Identifier: Apache-2.0
#include "uploader/window_parts.h"

#include <map>
#include <optional>
#include <span>
#include <utility>

#include "agent/format/pprof_encoder.h"

namespace agent {
namespace {

// Of two profiles with the same labels and time the server keeps one: these are one series,
// wherever they lie.
struct ByValue {
  using Pointer = std::shared_ptr<const Labels>;
  bool operator()(const Pointer& a, const Pointer& b) const {
    return a != b && (a == nullptr || (b != nullptr && *a < *b));
  }
};

using Row = std::pair<std::pair<StackId, std::optional<ThreadIndex>>, SampleValue>;

std::vector<Row> RowsOf(const Profile& window, bool threads) {
  std::map<Row::first_type, SampleValue> sums;
  for (const Profile::Entry& entry : window.Entries()) {
    const auto thread = threads ? std::optional(entry.key.thread) : std::nullopt;
    sums[{entry.key.stack, thread}] += entry.value;
  }
  std::erase_if(sums, [](const Row& row) {
    return row.second.count == 0 && row.second.cpu_ns == 0 && row.second.wall_ns == 0;
  });
  return {sums.begin(), sums.end()};
}

Profile PartOf(const Profile& window, std::span<const Row> rows, std::size_t index) {
  Profile part(window.start() + Nanoseconds(static_cast<std::int64_t>(index)), Nanoseconds(0));
  part.set_duration(window.duration());
  part.set_period(window.period());
  if (index == 0) part.losses() = window.losses();
  for (const auto& [key, value] : rows) {
    const auto& [stack, thread] = key;
    const ThreadInfo info = thread ? window.Thread(*thread) : ThreadInfo{};
    part.Add(part.InternStack(window.StackFrames(stack)), part.InternThread(info), SampleKind::kCpu,
             part.start(), value);
  }
  return part;
}

}  // namespace

std::vector<LabelledWindow> SplitByLabels(const Profile& window) {
  std::map<std::shared_ptr<const Labels>, std::size_t, ByValue> places;
  std::vector<LabelledWindow> groups;
  for (const Profile::Entry& entry : window.Entries()) {
    const ThreadInfo& thread = window.Thread(entry.key.thread);
    const auto [place, is_new] = places.try_emplace(thread.labels, groups.size());
    if (is_new) {
      groups.push_back(
          {.labels = thread.labels, .window = Profile(window.start(), window.slice_length())});
      groups.back().window.set_duration(window.duration());
      groups.back().window.set_period(window.period());
    }
    Profile& group = groups[place->second].window;
    group.Add(group.InternStack(window.StackFrames(entry.key.stack)), group.InternThread(thread),
              entry.key.kind,
              window.start() + window.slice_length() * std::int64_t{entry.key.slice}, entry.value);
  }
  if (groups.empty()) groups.push_back({.labels = nullptr, .window = window});
  groups.front().window.losses() = window.losses();
  return groups;
}

std::vector<WindowPart> EncodeWindow(const Profile& window, const WindowLimits& limits,
                                     const WindowOptions& options) {
  const std::vector<Row> rows = RowsOf(window, options.threads);
  std::vector<WindowPart> parts;
  std::vector<std::span<const Row>> open;
  if (!rows.empty()) open.emplace_back(rows);
  while (!open.empty()) {
    const std::span<const Row> now = open.back();
    open.pop_back();
    WindowPart encoded;
    if (now.size() <= limits.samples) {
      const Profile part = PartOf(window, now, parts.size());
      encoded = {.pprof = EncodePprof(part, {.thread_labels = options.threads}),
                 .start = part.start(),
                 .samples = part.Total().count};
      if (encoded.pprof.size() <= limits.bytes || now.size() == 1) {
        parts.push_back(std::move(encoded));
        continue;
      }
    }
    open.push_back(now.subspan(now.size() / 2));
    open.push_back(now.first(now.size() / 2));
  }
  return parts;
}

}  // namespace agent
