// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "agent/format/timeline.h"
#include "agent/format/timeline_encoders.h"

namespace agent {
namespace {

using nlohmann::json;

// src/types/gecko-profile.ts of firefox-devtools/profiler: what each part holds.
constexpr int kVersion = 24;
// A sample that was taken often in one time slice is repeated. Above this many in all, each row
// stands for several.
constexpr std::int64_t kMostRows = 1'000'000;

class ThreadEncoder {
 public:
  explicit ThreadEncoder(const Profile& profile)
      : profile_(profile), samples_per_row_(profile.Total().count / kMostRows + 1) {}

  json Encode(const ThreadTimeline& line) {
    json samples = json::array();
    const double slice = Milliseconds(profile_.slice_length());
    for (std::size_t i = 0; i < line.samples.size();) {
      std::size_t end = i;
      std::int64_t count = 0;
      for (; end < line.samples.size() && line.samples[end].slice == line.samples[i].slice; ++end) {
        count += Repeats(line.samples[end]);
      }
      // Spread over their slice: within it nothing is known of their order.
      double at = slice * line.samples[i].slice;
      for (; i < end; ++i)
        AddSamples(line.samples[i], slice / static_cast<double>(count), at, samples);
    }
    const ThreadInfo& thread = profile_.Thread(line.thread);
    return {
        {"name", line.name},
        {"pid", static_cast<pid_t>(thread.pid)},
        {"tid", static_cast<pid_t>(thread.tid)},
        {"processType", "default"},
        {"processName", thread.process_name},
        {"registerTime", 0},
        {"unregisterTime", nullptr},
        {"markers",
         {{"schema",
           {{"name", 0},
            {"startTime", 1},
            {"endTime", 2},
            {"phase", 3},
            {"category", 4},
            {"data", 5}}},
          {"data", json::array()}}},
        {"samples",
         {{"schema", {{"stack", 0}, {"time", 1}, {"eventDelay", 2}, {"threadCPUDelta", 3}}},
          {"data", std::move(samples)}}},
        {"frameTable",
         {{"schema",
           {{"location", 0},
            {"relevantForJS", 1},
            {"innerWindowID", 2},
            {"implementation", 3},
            {"line", 4},
            {"column", 5},
            {"category", 6},
            {"subcategory", 7}}},
          {"data", std::move(frames_)}}},
        {"stackTable", {{"schema", {{"prefix", 0}, {"frame", 1}}}, {"data", std::move(stacks_)}}},
        {"stringTable", std::move(strings_)}};
  }

 private:
  static double Milliseconds(Nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }
  // Rounded; at least one, for what has no sample has CPU time.
  [[nodiscard]] std::int64_t Repeats(const ThreadTimeline::Sample& sample) const {
    return std::max<std::int64_t>((sample.value.count + samples_per_row_ / 2) / samples_per_row_,
                                  1);
  }

  void AddSamples(const ThreadTimeline::Sample& sample, double step, double& at, json& samples) {
    const json stack = StackOf(profile_.StackFrames(sample.stack));
    const std::int64_t repeats = Repeats(sample);
    for (std::int64_t i = 0; i < repeats; ++i, at += step) {
      samples.push_back(json::array({stack, at, 0, sample.value.cpu_ns / repeats}));
    }
  }

  // Null for an empty stack.
  json StackOf(std::span<const Frame> leaf_first) {
    json prefix;
    for (auto frame = leaf_first.rbegin(); frame != leaf_first.rend(); ++frame) {
      const std::size_t index = FrameOf(*frame);
      const std::pair<std::int64_t, std::size_t> key{
          prefix.is_null() ? -1 : prefix.get<std::int64_t>(), index};
      const auto [place, inserted] = stack_ids_.try_emplace(key, stacks_.size());
      if (inserted) stacks_.push_back(json::array({prefix, index}));
      prefix = place->second;
    }
    return prefix;
  }

  std::size_t FrameOf(const Frame& frame) {
    const auto [place, inserted] =
        frame_ids_.try_emplace({frame.function, frame.line}, frames_.size());
    if (inserted) {
      std::string location = frame.function->name;
      if (!frame.function->file.empty()) {
        location += fmt::format(" ({}:{})", frame.function->file, frame.line);
      }
      const json line = frame.line > 0 ? json(frame.line) : json();
      frames_.push_back(
          json::array({String(location), false, nullptr, nullptr, line, nullptr, 0, 0}));
    }
    return place->second;
  }

  std::size_t String(const std::string& text) {
    const auto [place, inserted] = string_ids_.try_emplace(text, strings_.size());
    if (inserted) strings_.push_back(text);
    return place->second;
  }

  const Profile& profile_;
  const std::int64_t samples_per_row_;
  json frames_ = json::array();
  json stacks_ = json::array();
  json strings_ = json::array();
  std::map<std::pair<const Function*, std::uint32_t>, std::size_t> frame_ids_;
  std::map<std::pair<std::int64_t, std::size_t>, std::size_t> stack_ids_;
  std::unordered_map<std::string, std::size_t> string_ids_;
};

}  // namespace

std::string EncodeGecko(const Profile& profile) {
  json threads = json::array();
  for (const ThreadTimeline& line : Timelines(profile)) {
    threads.push_back(ThreadEncoder(profile).Encode(line));
  }
  const double start = static_cast<double>(profile.start().time_since_epoch().count()) / 1e6;
  const json file = {
      {"meta",
       {{"version", kVersion},
        {"interval", std::max(static_cast<double>(profile.period().count()) / 1e6, 0.001)},
        {"startTime", start},
        {"shutdownTime", nullptr},
        {"product", "agent"},
        {"stackwalk", 1},
        {"debug", 0},
        {"gcpoison", 0},
        {"asyncstack", 0},
        {"processType", 0},
        {"presymbolicated", true},
        {"sampleUnits", {{"time", "ms"}, {"eventDelay", "ms"}, {"threadCPUDelta", "ns"}}},
        {"categories",
         json::array({{{"name", "Other"}, {"color", "grey"}, {"subcategories", {"Other"}}}})},
        {"markerSchema", json::array()}}},
      {"libs", json::array()},
      {"threads", std::move(threads)},
      {"processes", json::array()},
      {"pausedRanges", json::array()}};
  return file.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace agent
